"""SIGKILL of `pulumi up` while it restores, and while a backup runs: nothing is lost, and the next run completes.

A small product, so that a round takes seconds. STELE_KILL_POINTS is how many points of each there are (20 for the
figure in the notes), spread over the steps that an undisturbed `up` reports; STELE_KILL_SEED repeats the random part.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import docker
import pytest

from bench.lab import edits
from bench.lab.swarm import Swarm
from bench.lab.workspace import BACKUP_SECRETS, Stack, Workspace, wait_until
from commands.site import lose

POINTS = int(os.environ.get("STELE_KILL_POINTS", "3"))
SEED = int(os.environ.get("STELE_KILL_SEED", time.time_ns() % 10**6))
NAME, PORT, VERSION = "t-load", 18083, "900.0.0"
SECRETS = {key: BACKUP_SECRETS[key] for key in ("database-password", "backup-key")}


@dataclass
class Small:
    """The small environment with one night's backup, and how many steps each kind of `up` reports."""

    stack: Stack
    swarm: Swarm
    steps: dict[str, int] = field(default_factory=dict)
    windows: Iterator[int] = field(default_factory=lambda: count(61))
    nights: list[str] = field(default_factory=list)

    def query(self, text: str) -> str:
        """The database's answer. After an `up` that replaced it, it may still be about to take over its volume."""
        client = ["psql", "--host=/run/stele", "--username=stele", "--dbname=tiny", "--tuples-only", "--no-align"]

        def answer() -> tuple[int, str] | None:
            (container,) = self.swarm.containers("store")
            code, said = container.exec_run([*client, f"--command={text}"], user="10001")
            return None if b"connection to server" in said else (code, said.decode().strip())

        code, told = wait_until("the database serves", answer, 120)
        assert code == 0, told
        return str(told)

    def runner(self, verb: str) -> tuple[int, str]:
        """What the task runner answers."""
        (container,) = self.swarm.containers("backup")
        code, answer = container.exec_run(["/opt/stele/backup", verb])
        return code, answer.decode()

    def back_up(self) -> None:
        """A backup that must succeed, and counts from then on."""
        code, said = self.runner("backup")
        assert code == 0, said
        self.nights.append(json.loads(said.strip().splitlines()[-1])["name"])

    def assert_nights(self) -> None:
        """Every backup that was told to be complete is there, verified."""
        code, said = self.runner("list")
        assert code == 0, said
        verified = {line.split()[0] for line in said.splitlines() if " verified " in line}
        assert set(self.nights) <= verified

    def lose(self) -> None:
        """Everything of it in the engine, and its state."""
        lose(docker.from_env(), NAME)
        workspace = self.stack.workspace
        for lock in workspace.root.glob(f"state/.pulumi/locks/organization/*/{NAME}/*.json"):
            lock.unlink()
        workspace.pulumi("stack", "rm", NAME, "--force", "--preserve-config", "--yes")
        workspace.pulumi("stack", "init", NAME, "--no-select")


@pytest.fixture(scope="module")
def small(workspace: Workspace) -> Iterator[Small]:
    workspace.reset()
    edits.add_small_product(workspace, "small", backup=True)
    workspace.factory("t-load-release", version=VERSION, product="small").up()
    workspace.storage("t-load-storage", customer=f"t-load-{os.getpid()}", retention="1").up()
    stack = workspace.environment(
        NAME, SECRETS, version=VERSION, product="small", port=PORT, window=60, storage="t-load-storage"
    )
    with Swarm(NAME) as swarm:
        small = Small(stack, swarm)
        small.steps["restore"] = undisturbed(stack)
        small.query("insert into stones select 'stone ' || g from generate_series(1, 20000) g")
        small.back_up()
        stack.configure(window=next(small.windows))
        small.steps["backup"] = undisturbed(stack)
        yield small
    stack.remove()


def undisturbed(stack: Stack) -> int:
    """The steps of an `up` that is left alone."""
    update = stack.begin_up()
    assert update.wait() == 0, update.output()
    return update.event_count()


def kill(small: Small, kind: str, point: int) -> None:
    """Begin an `up` and kill it after its share of steps, with everything it started or alone."""
    chance = random.Random(SEED + point)
    step, pause = int(small.steps[kind] * point / POINTS), chance.random()
    update = small.stack.begin_up()
    while update.process.poll() is None and update.event_count() < step:
        time.sleep(0.005)
    time.sleep(pause)
    killed = update.kill(everything=point % 2 == 0)
    print(f"seed {SEED}: {kind} after step {step} of {small.steps[kind]} + {pause:.2f} s: {killed=}")


@pytest.mark.parametrize("point", range(POINTS))
def test_a_killed_restore_is_completed_by_the_next(small: Small, point: int) -> None:
    small.lose()
    kill(small, "restore", point)
    recovered = small.stack.recover()
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert small.query("select count(*) from stones") == "20000"
    told: dict[str, Any] = small.stack.outputs()["backup"]["loaded"]
    assert told["from"] in (small.nights[-1], None)  # None: the killed one had loaded it already
    small.assert_nights()


@pytest.mark.parametrize("point", range(POINTS))
def test_a_change_that_is_killed_during_a_backup_costs_no_backup(small: Small, point: int) -> None:
    small.query(f"insert into stones values ('point {point}')")
    before = small.query("select count(*) from stones")
    answers: list[tuple[int, str]] = []
    night = threading.Thread(target=lambda: answers.append(small.runner("backup")))
    night.start()
    small.stack.configure(window=next(small.windows))
    kill(small, "backup", point)
    night.join()
    recovered = small.stack.recover()
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    if answers[0][0] == 0:
        small.nights.append(json.loads(answers[0][1].strip().splitlines()[-1])["name"])
    assert small.query("select count(*) from stones") == before
    small.query(f"delete from stones where id = 'point {point}'")
    small.assert_nights()
    small.back_up()
