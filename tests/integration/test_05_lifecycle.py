"""Upgrade, revert, refresh, scaling: callers never see an error, and what was there comes back exactly."""

from __future__ import annotations

import json

import pytest

from bench.lab.workspace import wait_until
from tests.conftest import BASE
from tests.integration.conftest import FLOW, RECIPE, TEMPLATE, Product

Releases = dict[str, dict[str, str]]


def test_a_second_up_changes_nothing(product: Product) -> None:
    before = product.swarm.running()
    product.stack.up("--expect-no-changes")
    assert product.swarm.running() == before


def test_refresh_finds_nothing_to_change(product: Product) -> None:
    before = product.swarm.running()
    product.stack.workspace.pulumi("refresh", "--yes", "--skip-preview", "-s", product.stack.name)
    product.stack.preview("--expect-no-changes")
    product.stack.up("--expect-no-changes")
    assert product.swarm.running() == before


@pytest.mark.parametrize("version", [FLOW, TEMPLATE])
def test_upgrade_and_revert_under_load(product: Product, releases: Releases, version: str) -> None:
    """FLOW replaces one runtime (and the edge, which announces the version); TEMPLATE all, the broker, the database and
    the edge included. Nobody notices, and the revert brings back the very same things without building any."""
    stack = product.stack
    before = stack.outputs()
    objects = product.swarm.everything()
    old, new = (without_runner(releases[each]) for each in (BASE, version))
    kept = {task for task in product.swarm.running() if unchanged(task.service, old, new)}
    with product.load() as load:
        stack.up(version=version)
        after = stack.outputs()
        assert product.door.get("/version").json()["version"] == version
        assert kept <= product.swarm.running()
        reverted = stack.up(version=BASE)
        assert product.door.get("/version").json()["version"] == BASE
    load.assert_spotless()
    assert after["runtimes"] == new
    replaced = {name for name, image in new.items() if image != old[name]} | {"edge"}
    assert after["actions"] == dict.fromkeys(after["actions"], "none") | dict.fromkeys(replaced, "restart")
    again = stack.outputs()
    for key in ("url", "version", "runtimes", "configuration", "services"):
        assert again[key] == before[key], key
    assert "docker-build" not in reverted.stdout
    assert product.swarm.everything() == objects
    assert set(load.report["versions"]) == {BASE, version}


def without_runner(images: dict[str, str]) -> dict[str, str]:
    """What an environment without storage runs of a release: nothing is backed up."""
    return {name: image for name, image in images.items() if name != "backup"}


def unchanged(service: str, old: dict[str, str], new: dict[str, str]) -> bool:
    """Whether a service belongs to a runtime (not the front door's) whose image is the same in both releases."""
    runtime = service.rpartition("-")[0].removeprefix("t-env-")
    return not runtime.startswith("edge") and old[runtime] == new[runtime]


def test_a_size_changes_limits_and_replicas_and_nothing_else(product: Product) -> None:
    before = product.stack.outputs()["services"]
    product.stack.up(sizing={"default": "S", "notify": "M"})
    after = product.stack.outputs()["services"]
    assert {name for name in before if before[name] != after[name]} == {"notify"}
    specification = product.swarm.specification(after["notify"])
    manifest = product.stack.workspace.releases / "orders" / f"{BASE}.json"
    figures = json.loads(manifest.read_text())["content"]["runtimes"]["notify"]["wiring"]["sizing"]["M"]
    assert specification["TaskTemplate"]["Resources"]["Limits"]["MemoryBytes"] == figures["memory"] * 1024 * 1024
    assert specification["Mode"]["Replicated"]["Replicas"] == figures["replicas"]


def test_a_new_recipe_redeploys_and_a_second_up_meanwhile_is_told_who_holds_the_stack(product: Product) -> None:
    stack = product.stack
    stack.configure(version=RECIPE)
    planned = stack.preview("--json")
    assert json.loads(planned.stdout)["changeSummary"].get("replace", 0) == 0
    first = stack.begin_up()
    try:
        wait_until("the first update to begin", first.event_count, 300)
        second = stack.up(check=False)
        said = second.stdout + second.stderr
        assert first.process.poll() is None, "the first update was over too soon to tell anything"
        assert second.returncode != 0
        assert "locked" in said, said
        assert f"(pid {first.process.pid})" in said, said
        refused = stack.recover()
        assert refused.returncode != 0
        assert f"process {first.process.pid}" in refused.stderr, refused.stderr
        assert "still runs" in refused.stderr
    finally:
        code = first.wait()
    assert code == 0, first.output()
    outputs = stack.outputs()
    assert outputs["version"] == RECIPE
    told = outputs["actions"]
    assert told == dict.fromkeys(told, "none") | {"notify": "redeploy", "edge": "restart"}


def test_destroy_keeps_the_data_and_passwords_can_change_meanwhile(product: Product) -> None:
    stack = product.stack
    assert product.door.order(id="before-the-flood").status == 202
    wait_until("the order", lambda: product.door.get("/orders/before-the-flood").status == 200, 300)
    volumes, secrets = product.swarm.names("volumes"), product.swarm.names("secrets")
    stack.workspace.pulumi("destroy", "--yes", "--skip-preview", "-s", stack.name)
    left = product.swarm.everything()
    assert left == {"services": set(), "configs": set(), "secrets": set(), "networks": set(), "volumes": volumes}
    assert volumes
    for password in ("database-password", "broker-password"):
        value = f"another-{password}-than-before"
        stack.workspace.pulumi("config", "set", "--secret", password, value, "-s", stack.name)
    stack.up()
    assert secrets.isdisjoint(product.swarm.names("secrets"))
    assert product.door.get("/orders/before-the-flood").json()["id"] == "before-the-flood"
    assert product.door.order(id="after-the-flood").status == 202
    wait_until("the next order", lambda: product.door.get("/orders/after-the-flood").status == 200, 300)
