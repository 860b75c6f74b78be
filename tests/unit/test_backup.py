"""What an environment with storage declares: one task runner, and everything else behind what it has loaded."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components import environment
from components.backup_status import Status
from components.environment import Environment
from components.release_store import FolderReleaseStore
from components.settings import EnvironmentSettings, parse
from tests.unit.conftest import Declare, Recorder
from tests.unit.releases import release, with_runner

SERVICE, VOLUME = "service:Service", "volume:Volume"
ACCOUNT = {
    "endpoint": "https://store.example",
    "bucket": "stele-acme",
    "access_key": "stele-acme",
    "secret_key": "the-accounts-secret",
    "retention": 180,
    "locked": True,
}
PASSAGE = "/run/of/the/platform"
GREEN = Status(health="green", reason="", last="2026-11-25T02-00-00Z", backups=("2026-11-25T02-00-00Z",))
NONE_YET = Status(health="yellow", reason="there is no backup yet", last=None, backups=())
DOWN = Status(health="yellow", reason="no answer", last=None, backups=(), store="no answer")


class Asked:
    """Stands for the question that is answered in a process of its own; remembers about which stack it was."""

    answers: dict[str, Status] = {}  # noqa: RUF012 - set by each test
    stacks: list[str] = []  # noqa: RUF012

    def __init__(self, _account: object, stack: str, key: str, wanted: str) -> None:
        assert key
        assert wanted
        self.stacks.append(stack)
        self.answer = self.answers[stack]


Deploy = Callable[..., tuple[Recorder, Any]]


@pytest.fixture
def deploy(declare: Declare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """Declare an environment with storage and some settings; ``account`` and ``previous`` are other stacks' outputs."""
    monkeypatch.setattr(environment, "Question", Asked)
    monkeypatch.setattr(Asked, "answers", {"dev": GREEN, "old": NONE_YET})
    monkeypatch.setattr(Asked, "stacks", [])
    monkeypatch.delenv("STELE_STORE_PASSAGE", raising=False)
    store = FolderReleaseStore(tmp_path)
    store.publish(with_runner("1.0.0"), {})
    store.publish(with_runner("1.1.0", data={"needs": 3, "oldest": 2}), {})
    store.publish(release("0.9.0"), {})

    def run(
        account: dict[str, Any] | None = None, previous: dict[str, Any] | None = None, **values: str | None
    ) -> tuple[Recorder, Any]:
        raw: dict[str, str | None] = {"version": "1.0.0", "broker-password": "battery-staple", "storage": "acme"}
        raw |= {"backup-key": "the-customers-own"} | {key.replace("_", "-"): value for key, value in values.items()}
        given = {key: value for key, value in raw.items() if value is not None}
        settings = parse(given, defaults={"registry": "registry:5000", "releases": str(tmp_path)})
        assert isinstance(settings, EnvironmentSettings)
        outputs = (ACCOUNT if account is None else account) | (previous or {})
        return declare(lambda: Environment("dev", settings), outputs)

    return run


def generation(recorder: Recorder, runtime: str) -> str:
    """The resource name of a runtime's generation."""
    (found,) = [name for name in recorder.of_type(SERVICE) if name.rpartition("-")[0] == runtime]
    return found


def plan(recorder: Recorder) -> dict[str, Any]:
    """What the runner is told."""
    texts = [base64.b64decode(config["data"]).decode() for config in recorder.of_type("ServiceConfig").values()]
    return dict(json.loads(next(text for text in texts if '"volumes"' in text)))


def mounts(recorder: Recorder, runtime: str) -> dict[str, tuple[str, str]]:
    """What a runtime's container sees: the target's kind and source."""
    inputs = recorder.of_type(SERVICE)[generation(recorder, runtime)]
    found = inputs["taskSpec"]["containerSpec"].get("mounts") or []
    return {mount["target"]: (mount["type"], mount["source"]) for mount in found}


def test_the_runner_is_told_where_what_and_when_and_no_secret(deploy: Deploy) -> None:
    recorder, _ = deploy(timezone="Europe/Amsterdam")
    assert plan(recorder) == {
        "stack": "dev",
        "source": "dev",
        "restore": "newest",
        "fenced": False,
        "timezone": "Europe/Amsterdam",
        "storage": {"endpoint": "https://store.example", "bucket": "stele-acme", "access_key": "stele-acme"},
        "schema": {"needs": 1, "oldest": 1},
        "vanilla": None,
        "volumes": {"broker": {"capture": "messages", "path": "/data/volumes/broker"}},
    }
    assert plan(deploy(restore="dev/2026-11-25T02-00-00Z")[0])["restore"] == "2026-11-25T02-00-00Z"


def test_the_runner_sees_every_volume_and_its_own(deploy: Deploy) -> None:
    recorder, _ = deploy()
    assert mounts(recorder, "backup") == {
        "/data": ("volume", "dev-backup-data"),
        "/data/volumes/broker": ("volume", "dev-broker-data"),
    }
    assert mounts(recorder, "broker") == {"/data": ("volume", "dev-broker-data")}


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:7070", "http://localhost:7070", "http://[::1]:7070"])
def test_a_store_on_this_hosts_loopback_is_reached_through_the_passage(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("STELE_STORE_PASSAGE", PASSAGE)
    recorder, _ = deploy(account=ACCOUNT | {"endpoint": endpoint})
    assert mounts(recorder, "backup")["/run/store"] == ("bind", PASSAGE)


def test_a_store_elsewhere_needs_no_passage(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELE_STORE_PASSAGE", PASSAGE)
    assert "/run/store" not in mounts(deploy()[0], "backup")


def test_everything_waits_for_the_load_the_load_for_the_runner_and_the_runner_for_the_release(deploy: Deploy) -> None:
    recorder, _ = deploy()
    runner = generation(recorder, "backup")
    assert recorder.of_type("local:Command")["backup-load"]["create"] == (
        f"python3 -m commands.await_load dev-{runner}"
    )
    assert "dev-installation-copy" in recorder.after[runner]
    assert runner in recorder.after["backup-load"]
    for runtime in ("broker", "intake"):
        assert "backup-load" in recorder.after[generation(recorder, runtime)]


def test_whoever_owns_a_volume_takes_no_empty_one_for_new(deploy: Deploy) -> None:
    def told(recorder: Recorder, runtime: str) -> str:
        service = recorder.of_type(SERVICE)[generation(recorder, runtime)]
        named = {config["configName"] for config in service["taskSpec"]["containerSpec"]["configs"]}
        objects = recorder.of_type("ServiceConfig").values()
        return "".join(base64.b64decode(each["data"]).decode() for each in objects if each["name"] in named)

    kept, plain = deploy()[0], deploy(storage=None)[0]
    assert "LOAD=required\n" in told(kept, "broker")
    # The runner itself must not wait for itself, and who keeps nothing has nothing to wait for.
    assert "LOAD=" not in told(kept, "backup") + told(kept, "intake") + told(plain, "broker")


def test_without_storage_nothing_of_backups_is_declared_and_generations_are_what_they_were(
    deploy: Deploy, declare: Declare, tmp_path: Path
) -> None:
    recorder, outputs = deploy(storage=None, backup_key=None)
    assert not {"backup", "schema"} & outputs.keys()
    assert not recorder.of_type("local:Command")
    assert {name.rpartition("-")[0] for name in recorder.of_type(SERVICE)} == {"broker", "intake", "edge", "edge-gate"}
    assert {inputs["name"] for inputs in recorder.of_type(VOLUME).values()} == {"dev-broker-data"}
    # The fingerprint of a service that was released before there were backups: it must not restart for them.
    before, _ = deploy(storage=None, backup_key=None, version="0.9.0")
    assert generation(recorder, "intake") == generation(before, "intake")


def test_a_fenced_stack_has_no_door_and_the_rest_of_it_runs(deploy: Deploy) -> None:
    recorder, outputs = deploy(fenced="true")
    assert outputs["url"] is None
    assert {name.rpartition("-")[0] for name in recorder.of_type(SERVICE)} == {"backup", "broker", "intake"}
    assert plan(recorder)["fenced"] is True


def test_the_output_says_what_was_loaded_and_how_this_stacks_own_backups_are(deploy: Deploy) -> None:
    old = Status(health="green", reason="", last="2026-11-20T02-00-00Z", backups=("2026-11-20T02-00-00Z",))
    Asked.answers = {"dev": NONE_YET, "old": old}
    _, outputs = deploy(restore="old/2026-11-20T02-00-00Z")
    assert Asked.stacks == ["dev", "old"]
    assert outputs["schema"] == 1
    assert outputs["backup"] == {
        "health": "yellow",
        "reason": "there is no backup yet",
        "last": None,
        "loaded": {"stack": "dev", "from": "vanilla 1.0.0", "schema": 1},
    }


def test_a_running_stack_goes_on_with_yellow_while_the_store_is_down(deploy: Deploy) -> None:
    Asked.answers = {"dev": DOWN}
    _, outputs = deploy(previous={"services": {"broker": "dev-broker-1"}})
    assert (outputs["backup"]["health"], outputs["backup"]["reason"]) == ("yellow", "no answer")


def test_what_belongs_to_backups_is_no_input_of_other_runtimes(deploy: Deploy) -> None:
    first, _ = deploy()
    other, _ = deploy(timezone="Europe/Amsterdam", restore="vanilla", backup_key="another-key-of-theirs")
    assert generation(first, "backup") != generation(other, "backup")
    assert generation(first, "broker") == generation(other, "broker")


def test_secrets_of_the_account_are_marked_and_in_no_configuration(deploy: Deploy) -> None:
    recorder, outputs = deploy()
    secret = next(inputs for name, inputs in recorder.of_type("secret:Secret").items() if "storage-secret" in name)
    assert base64.b64decode(secret["data"]["value"]).decode() == ACCOUNT["secret_key"]
    configs = [base64.b64decode(each["data"]).decode() for each in recorder.of_type("ServiceConfig").values()]
    assert not any(value in str(configs) + str(outputs) for value in (ACCOUNT["secret_key"], "the-customers-own"))


LOCAL = ACCOUNT | {"endpoint": "http://127.0.0.1:7070"}
RUNNING = {"services": {"broker": "dev-broker-1"}, "schema": 1.0}


@pytest.mark.parametrize(
    ("stacks", "values", "told"),
    [
        ({"account": {}}, {}, "stele:storage: 'acme' is not allowed; allowed: a storage stack that is up"),
        ({"account": LOCAL}, {}, "stele:storage: 'http://127.0.0.1:7070' is not allowed; allowed: an address that"),
        ({}, {"backup_key": None}, "stele:backup-key: '(not set)' is not allowed; allowed: a secret for backup"),
        ({}, {"version": "0.9.0"}, "'acme' is not allowed; allowed: none with release 0.9.0, which has no task runner"),
        (
            {},
            {"runtimes": '["broker"]'},
            "stele:runtimes: '[\"broker\"]' is not allowed; allowed: with storage, backup",
        ),
        ({}, {"restore": "old/newest"}, "'old/newest' is not allowed; allowed: one that has verified backups"),
        ({}, {"restore": "2026-01-01T02-00-00Z"}, "the last ones: 2026-11-25T02-00-00Z"),
        ({"previous": RUNNING}, {"version": "1.1.0"}, "one that starts from schema 1 (this one from 2)"),
    ],
)
def test_what_cannot_be_stops_before_any_resource(
    deploy: Deploy, caplog: pytest.LogCaptureFixture, stacks: dict[str, Any], values: dict[str, str], told: str
) -> None:
    with pytest.raises(SystemExit):
        deploy(**stacks, **values)
    assert told in caplog.text
