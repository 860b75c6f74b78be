"""One process for every scenario, with the real engine: new installation, backup, inspection, update, a move, and
disaster recovery on a second engine. Each is the same `pulumi up`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker
import pytest

from bench.lab import ground
from bench.lab.door import Door
from bench.lab.swarm import Swarm
from bench.lab.workspace import BACKUP_SECRETS, Stack, Workspace, wait_until
from commands.site import lose
from hosts.namespaced_engine import pids_of
from tests.conftest import BASE

PORT, BESIDE = 18081, 18082
STORAGE, NAME = "t-kept-storage", "t-kept"
STEPS = ["look", "find", "fetch", "check", "place", "migrate", "open"]
MIGRATED, BROKEN = "900.7.0", "900.8.0"


@dataclass
class Kept:
    """An environment with backups, and its orders."""

    stack: Stack
    swarm: Swarm
    door: Door

    @property
    def told(self) -> dict[str, Any]:
        """What `pulumi stack output` says of its backups."""
        found: dict[str, Any] = self.stack.outputs()["backup"]
        return found

    def back_up(self) -> dict[str, Any]:
        """A backup on demand."""
        (runner,) = self.swarm.containers("backup")
        status, said = runner.exec_run(["/opt/stele/backup", "backup"])
        assert status == 0, said
        record: dict[str, Any] = json.loads(said.decode().strip().splitlines()[-1])
        return record

    def order(self, name: str) -> None:
        """An order that was acknowledged, stored and told to the subscriber."""
        assert self.door.order(id=name).status == 202
        wait_until(f"order {name}", lambda: self.door.get(f"/orders/{name}").status == 200, 120)

    def lose(self) -> None:
        """Everything of it in the engine is gone, and so is its state."""
        lose(docker.from_env(), NAME)
        self.stack.workspace.pulumi("stack", "rm", NAME, "--force", "--preserve-config", "--yes")
        self.stack.workspace.pulumi("stack", "init", NAME, "--no-select")


@pytest.fixture(scope="module")
def kept(factory: Stack, workspace: Workspace) -> Iterator[Kept]:
    """A new installation for a customer that this run has made up."""
    workspace.storage(STORAGE, customer=f"t-{os.getpid()}", retention="1").up()
    stack = workspace.environment(NAME, BACKUP_SECRETS, version=BASE, port=PORT, storage=STORAGE)
    stack.up()
    with Swarm(NAME) as swarm:
        yield Kept(stack, swarm, Door(f"http://127.0.0.1:{PORT}"))
    stack.remove()


def test_a_new_installation_begins_with_the_vanilla_backup(kept: Kept) -> None:
    assert kept.told["loaded"]["from"] == f"vanilla {BASE}"
    assert kept.told["loaded"]["empty"] == ["broker", "database", "notify"]
    assert kept.told["loaded"]["steps"] == STEPS
    assert kept.told["health"] == "yellow"
    assert kept.told["reason"] == "there is no backup yet"
    assert kept.stack.outputs()["schema"] == 1
    kept.order("first")


def test_refresh_and_a_second_up_change_nothing(kept: Kept) -> None:
    before = kept.swarm.running()
    kept.stack.workspace.pulumi("refresh", "--yes", "--skip-preview", "-s", NAME)
    kept.stack.up("--expect-no-changes")
    assert kept.swarm.running() == before


@pytest.fixture(scope="module")
def night(kept: Kept) -> str:
    """The name of a backup with one order in it, after which another came."""
    record = kept.back_up()
    assert record["rows"]["public.orders"] == 1
    kept.order("second")
    return str(record["name"])


def test_a_backup_turns_the_health_green(kept: Kept, night: str) -> None:
    kept.stack.up()
    assert (kept.told["health"], kept.told["last"]) == ("green", night)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"restore": "2026-01-01T02-00-00Z"}, "stele:restore: '2026-01-01T02-00-00Z' is not allowed; allowed: newest"),
        ({"restore": "yesterday"}, "stele:restore: 'yesterday' is not allowed"),
        ({"storage": "t-nobody"}, "stele:storage: 't-nobody' is not allowed; allowed: a storage stack that is up"),
        ({"timezone": "Mars/Olympus"}, "stele:timezone: 'Mars/Olympus' is not allowed"),
        ({"fenced": "yes"}, "stele:fenced: 'yes' is not allowed; allowed: true | false"),
        ({"backup_key": None}, "stele:backup-key: '(not set)' is not allowed"),
    ],
)
def test_what_cannot_be_stops_at_preview(kept: Kept, night: str, settings: dict[str, Any], said: str) -> None:
    before = kept.stack.file.read_text()
    try:
        kept.stack.configure(**settings)
        done = kept.stack.preview(check=False)
    finally:
        kept.stack.file.write_text(before)
    assert done.returncode != 0
    assert said in done.stdout
    assert "Traceback" not in done.stdout


def test_an_earlier_backup_is_looked_at_beside_the_running_stack(kept: Kept, night: str) -> None:
    before = kept.swarm.running()
    beside = kept.stack.workspace.environment(
        "t-beside", BACKUP_SECRETS, version=BASE, port=BESIDE, storage=STORAGE, restore=f"{NAME}/{night}"
    )
    beside.up()
    assert beside.outputs()["backup"]["loaded"]["from"] == night
    assert json.loads(Door(f"http://127.0.0.1:{BESIDE}").get("/orders").text)["count"] == 1
    assert kept.swarm.running() == before
    beside.remove()


def test_disaster_recovery_takes_the_steps_of_a_new_installation(kept: Kept, night: str) -> None:
    kept.lose()
    kept.stack.up()
    assert kept.told["loaded"]["from"] == night
    assert kept.told["loaded"]["steps"] == STEPS
    assert kept.told["loaded"]["window"][0][:13] == night[:13]
    assert kept.door.get("/orders/first").status == 200
    assert kept.door.get("/orders/second").status == 404


def test_a_killed_up_ends_half_a_load_and_the_next_one_completes_it(kept: Kept, night: str) -> None:
    for step in ("loading database", "step open"):
        kept.lose()
        up = kept.stack.begin_up()
        wait_until(step, lambda up=up, step=step: step in up.output() or up.process.poll() is not None, 300)
        up.kill(everything=True)
        done = kept.stack.recover()
        assert done.returncode == 0, done.stdout + done.stderr
        kept.stack.up()
        assert kept.told["loaded"]["from"] == night
        assert kept.door.get("/orders/first").status == 200


def test_data_moves_forward_and_a_revert_that_it_cannot_follow_is_refused(kept: Kept, factory: Stack) -> None:
    workspace = kept.stack.workspace
    migrations = workspace.runtime("backup") / "flows" / "migrations"
    migrations.mkdir()
    schema = workspace.runtime("backup").parent / "product.yaml"
    try:
        schema.write_text("schema: {needs: 2, oldest: 1}\n")
        (migrations / "002-note.sql").write_text("alter table orders add column note text not null default 'none';\n")
        factory.up(version=MIGRATED)
        schema.write_text("schema: {needs: 3, oldest: 1}\n")
        (migrations / "003-broken.sql").write_text("alter table orders add column more text; select 1/0;\n")
        factory.up(version=BROKEN)
    finally:
        workspace.reset()
    kept.stack.up(version=MIGRATED)
    assert kept.stack.outputs()["schema"] == 2
    before = kept.swarm.running()
    failed = kept.stack.up(version=BROKEN, check=False)
    assert failed.returncode != 0
    assert "division by zero" in failed.stdout
    assert kept.door.get("/version").json()["version"] == MIGRATED
    refused = kept.stack.workspace.pulumi("config", "set", "version", BASE, "-s", NAME, check=False)
    assert refused.returncode == 0
    plan = kept.stack.preview(check=False)
    assert plan.returncode != 0
    assert f"with restore: {NAME}/<backup from before>" in plan.stdout
    kept.stack.up(version=MIGRATED)
    assert before <= kept.swarm.running()


def test_the_drill_brings_the_stack_back_on_a_second_engine_and_a_move_loses_nothing(kept: Kept) -> None:
    workspace = kept.stack.workspace
    command = [sys.executable, "-m", "commands.drill", "--stack", NAME]
    for more, lost in (([], "(20 of 20 later orders lost)"), (["--move"], "RPO 0 s (0 of 0 later orders lost)")):
        done = ground.run(*command, *more, env=workspace.env, cwd=workspace.folder)
        assert "200 of 200 orders from before the backup are there" in done.stdout
        assert lost in done.stdout
        assert pids_of(workspace.folder / ".stele" / "drill") == []  # a lost host runs nothing any more
        # The drill took the account over, with new keys.
        workspace.pulumi("up", "--refresh", "--yes", "--skip-preview", "-s", STORAGE)
        workspace.pulumi("stack", "init", NAME, "--no-select")
        kept.stack.up()
