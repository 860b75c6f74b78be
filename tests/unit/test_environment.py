"""What an environment declares: content-named generations, nothing updated in place, secrets marked, data kept."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.environment import Environment
from components.release_store import FolderReleaseStore
from components.settings import EnvironmentSettings, parse
from tests.unit.conftest import Declare, Recorder
from tests.unit.releases import WIRING, release

SERVICE = "service:Service"


@pytest.fixture
def deploy(declare: Declare, tmp_path: Path) -> Callable[..., tuple[Recorder, Any]]:
    """Publish releases 1.0.0 and 1.1.0 (another intake) and declare an environment with some settings."""
    store = FolderReleaseStore(tmp_path)
    store.publish(release("1.0.0"), {})
    store.publish(release("1.1.0", intake={"digest": "sha256:new"}), {})
    store.publish(release("2.0.0", intake={"recipe": "2", "wiring": WIRING | {"needs": ["broker"]}}), {})

    def run(previous: dict[str, Any] | None = None, **values: str | None) -> tuple[Recorder, Any]:
        raw = {"version": "1.0.0", "broker-password": "battery-staple"}
        raw |= {key.replace("_", "-"): value for key, value in values.items() if value}
        raw = {key: value for key, value in raw.items() if values.get(key.replace("-", "_"), value)}
        settings = parse(raw, defaults={"registry": "registry:5000", "releases": str(tmp_path)})
        assert isinstance(settings, EnvironmentSettings)
        return declare(lambda: Environment("dev", settings), previous)

    return run


Deploy = Callable[..., tuple[Recorder, Any]]


def test_images_run_by_digest_and_names_tell_the_generation(deploy: Deploy) -> None:
    recorder, outputs = deploy()
    for name, inputs in recorder.of_type(SERVICE).items():
        assert inputs["name"] == f"dev-{name}"
        assert "@sha256:" in inputs["taskSpec"]["containerSpec"]["image"]
    assert outputs["runtimes"]["intake"] == "registry:5000/orders/intake@sha256:aaaaaaaa-intake"


def test_an_upgrade_makes_new_resources_of_what_changed_and_only_of_that(deploy: Deploy) -> None:
    before, old = deploy()
    after, new = deploy(version="1.1.0")
    kept = before.of_type(SERVICE).keys() & after.of_type(SERVICE).keys()
    assert {name.rpartition("-")[0] for name in kept} == {"broker"}
    assert old["services"]["intake"] != new["services"]["intake"]


def test_a_revert_declares_exactly_what_was_there(deploy: Deploy) -> None:
    first, outputs = deploy()
    deploy(version="1.1.0")
    again, reverted = deploy()
    assert {args.name: args.inputs for args in first.resources} == {args.name: args.inputs for args in again.resources}
    assert outputs == reverted


def test_a_generation_converges_only_when_its_own_readiness_says_so(deploy: Deploy) -> None:
    recorder, _ = deploy(window="45")
    for name, inputs in recorder.of_type(SERVICE).items():
        assert inputs["convergeConfig"]["timeout"] == "45s"
        health = inputs["taskSpec"]["containerSpec"]["healthcheck"]["tests"]
        assert health == (
            ["CMD", "/opt/stele/gate", "check"] if "gate" in name else ["CMD", "/opt/stele/health", "ready"]
        )


def test_every_generation_shares_the_alias_and_no_virtual_ip(deploy: Deploy) -> None:
    for version in ("1.0.0", "1.1.0"):
        recorder, _ = deploy(version=version)
        intake = next(inputs for name, inputs in recorder.of_type(SERVICE).items() if name.startswith("intake-"))
        assert intake["taskSpec"]["networksAdvanceds"] == [{"id": "dev-network-id", "aliases": ["intake"]}]
        assert intake["endpointSpec"]["mode"] == "dnsrr"


def test_the_edge_generations_listen_on_different_ports_and_the_gate_follows(deploy: Deploy) -> None:
    ports = set()
    for version in ("1.0.0", "1.1.0"):
        recorder, _ = deploy(version=version, port="9090")
        services = recorder.of_type(SERVICE)
        edge = next(inputs for name, inputs in services.items() if name.startswith("edge-") and "gate" not in name)
        (port,) = edge["endpointSpec"]["ports"]
        assert (port["publishMode"], port["targetPort"]) == ("host", 8080)
        texts = [base64.b64decode(config["data"]).decode() for config in recorder.of_type("ServiceConfig").values()]
        gate = next(text for text in texts if "GATE_PORT" in text)
        assert "GATE_PORT=9090\n" in gate
        assert f"GATE_TARGET={port['publishedPort']:.0f}\n" in gate
        ports.add(port["publishedPort"])
    assert len(ports) == 2


def test_a_generation_of_the_edge_never_takes_the_port_of_the_one_that_serves(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(before: dict[str, Any] | None, version: str) -> tuple[dict[str, Any], int]:
        recorder, outputs = deploy(before, version=version)
        services = recorder.of_type(SERVICE)
        edge = next(inputs for name, inputs in services.items() if name.startswith("edge-") and "gate" not in name)
        assert outputs["ports"]["edge"] == edge["endpointSpec"]["ports"][0]["publishedPort"]
        return outputs, outputs["ports"]["edge"]

    monkeypatch.setattr("components.immutable_service.GENERATION_PORTS", range(29000, 29001))
    serving, port = moved(None, "1.0.0")
    monkeypatch.setattr("components.immutable_service.GENERATION_PORTS", range(29000, 29002))
    assert moved(serving, "1.0.0")[1] == port  # it stays where it is
    after, other = moved(serving, "1.1.0")
    assert other == 29001
    assert moved(after, "1.1.0")[1] == other
    # Of one that was deployed before ports were recorded, it is what its name gives.
    unrecorded = {key: value for key, value in after.items() if key != "ports"}
    assert moved(unrecorded, "1.0.0")[1] != moved(unrecorded, "1.1.0")[1]


def test_the_gate_opens_after_the_edge_and_the_edge_after_everything_behind_it(deploy: Deploy) -> None:
    recorder, _ = deploy()
    order = [args.name.rpartition("-")[0] for args in recorder.resources if args.typ.endswith(SERVICE)]
    assert order.index("edge-gate") > order.index("edge") > max(order.index("intake"), order.index("broker"))


def test_the_same_configuration_is_one_object_in_every_version(deploy: Deploy) -> None:
    before, _ = deploy()
    after, _ = deploy(version="1.1.0")
    objects = before.of_type("ServiceConfig")
    assert len({inputs["data"] for inputs in objects.values()}) == len(objects)
    assert {inputs["name"] for inputs in objects.values()} == {f"dev-{name}" for name in objects}
    shared = {name for name in objects if name.startswith("environment-")}
    assert shared
    assert shared == {name for name in after.of_type("ServiceConfig") if name.startswith("environment-")}


def test_secrets_are_marked_named_by_content_and_never_in_an_environment_variable(deploy: Deploy) -> None:
    recorder, outputs = deploy()
    secrets = recorder.of_type("secret:Secret")
    assert {name.rpartition("-")[0] for name in secrets} == {"broker-password"}
    changed, after = deploy(broker_password="another-secret")
    assert changed.of_type("secret:Secret").keys() != secrets.keys()
    assert outputs["services"]["broker"] != after["services"]["broker"]
    for inputs in recorder.of_type(SERVICE).values():
        assert "battery-staple" not in str(inputs)
        assert not inputs["taskSpec"]["containerSpec"].get("env")


def test_a_volume_keeps_its_name_over_every_version(deploy: Deploy) -> None:
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        recorder, _ = deploy(version=version)
        assert {name: inputs["name"] for name, inputs in recorder.of_type("volume:Volume").items()} == {
            "broker-data": "dev-broker-data"
        }


def test_actions_of_the_first_installation_and_of_no_change(deploy: Deploy) -> None:
    _, first = deploy()
    assert set(first["actions"].values()) == {"redeploy"}
    _, again = deploy(previous=first)
    assert again["actions"] == first["actions"]


def test_another_core_or_image_restarts_and_another_recipe_redeploys(deploy: Deploy) -> None:
    _, before = deploy()
    _, restarted = deploy(previous=before, version="1.1.0")
    assert restarted["actions"] == {"broker": "none", "edge": "restart", "intake": "restart"}
    _, redeployed = deploy(previous=before, version="2.0.0")
    assert redeployed["actions"]["intake"] == "redeploy"


def test_sizing_changes_limits_and_replicas(deploy: Deploy) -> None:
    recorder, _ = deploy(sizing='{"default": "S", "intake": "M"}')
    intake = next(inputs for name, inputs in recorder.of_type(SERVICE).items() if name.startswith("intake-"))
    assert intake["mode"] == {"replicated": {"replicas": 2}}
    assert intake["taskSpec"]["resources"]["limits"]["memoryBytes"] == 128 * 1024 * 1024


def test_a_missing_secret_says_who_needs_it_and_how_to_set_it(deploy: Deploy, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit):
        deploy(broker_password=None)
    assert "pulumi config set --secret broker-password" in caplog.text


def test_a_secret_that_only_a_newer_release_knows_does_not_stop_a_revert(deploy: Deploy, tmp_path: Path) -> None:
    newer = {"wiring": WIRING | {"secrets": ["broker-password", "api-token"]}}
    FolderReleaseStore(tmp_path).publish(release("2.1.0", intake=newer), {})
    (tmp_path / "orders" / "notes.json").write_text("who keeps notes here?")
    _, outputs = deploy(version="1.0.0", api_token="abcdefgh")
    assert outputs["version"] == "1.0.0"


def test_a_release_in_the_cache_is_deployed_without_asking_the_vendors_store(deploy: Deploy) -> None:
    nobody_there = {"endpoint": "http://127.0.0.1:9", "bucket": "b", "access_key": "a", "secret_key": "s"}
    _, outputs = deploy(nobody_there, vendor="storage")
    assert outputs["version"] == "1.0.0"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"version": "7.0.0"}, "'7.0.0' is not published; published versions of orders: 1.0.0, 1.1.0, 2.0.0"),
        ({"runtimes": '["intake"]'}, "intake needs broker"),
        ({"runtimes": '["intake", "printer"]'}, "stele:runtimes: 'printer' is not allowed"),
        ({"sizing": "L"}, "stele:sizing: 'L' is not allowed; allowed: sizes of broker in this release: M, S"),
        ({"api_token": "abcdefgh"}, "stele:api-token: '(unknown key)'"),
        ({"sizing": '{"printer": "M"}'}, "stele:sizing: 'printer' is not allowed"),
        ({"vendor": "storage"}, "stele:vendor: 'storage' is not allowed; allowed: a storage stack that is up"),
    ],
)
def test_what_cannot_be_deployed_stops_before_any_resource(
    deploy: Deploy, caplog: pytest.LogCaptureFixture, values: dict[str, str], told: str
) -> None:
    with pytest.raises(SystemExit):
        deploy(**values)
    assert told in caplog.text
