"""SIGKILL of an update at twenty points: one `recover` mends the stack, without duplicates or orphans.

A small product of two runtimes, a front door and a database, so that a round takes seconds. The points are spread over
the steps that an undisturbed upgrade reports; STELE_KILL_SEED repeats the random part.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from bench.lab import edits
from bench.lab.door import Door
from bench.lab.swarm import Swarm
from bench.lab.workspace import SECRETS, Stack, Workspace

POINTS = 20
PORT = 18078
SEED = int(os.environ.get("STELE_KILL_SEED", time.time_ns() % 10**6))


@dataclass
class Small:
    """The small environment; ``windows`` gives a new setting, so a new generation of everything, each time."""

    stack: Stack
    swarm: Swarm
    windows: Iterator[int]
    steps: int


@pytest.fixture(scope="module")
def small(workspace: Workspace, factory: Stack) -> Iterator[Small]:
    workspace.reset()
    edits.add_small_product(workspace, "tiny")
    builder = workspace.factory("t-tiny-release", version="900.0.0", product="tiny")
    builder.up()
    windows = count(60)
    secrets = {"database-password": SECRETS["database-password"]}
    stack = workspace.environment("t-kill", secrets, version="900.0.0", product="tiny", port=PORT, window=next(windows))
    stack.up()
    with Swarm(stack.name) as swarm:
        stack.configure(window=next(windows))
        undisturbed = stack.begin_up()
        assert undisturbed.wait() == 0, undisturbed.output()
        yield Small(stack, swarm, windows, undisturbed.event_count())


@pytest.mark.parametrize("point", range(POINTS))
def test_a_killed_update_is_mended_by_one_command(small: Small, point: int) -> None:
    stack = small.stack
    chance = random.Random(SEED + point)
    step, pause, everything = point * small.steps // POINTS, chance.random() * 0.4, point % 2 == 0
    window = next(small.windows)
    stack.configure(window=window)
    update = stack.begin_up()
    while update.process.poll() is None and update.event_count() < step:
        time.sleep(0.005)
    time.sleep(pause)
    ended = update.process.poll() is not None
    update.kill(everything=everything)
    print(f"seed {SEED}: killed after step {step} of {small.steps} + {pause:.2f} s, {everything=}, {ended=}")
    assert Door(f"http://127.0.0.1:{PORT}").get("/health").status == 200
    recovered = stack.recover()
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    stack.up("--expect-no-changes")
    assert_clean(small)
    assert Door(f"http://127.0.0.1:{PORT}").get("/health").status == 200


def assert_clean(small: Small) -> None:
    """The engine holds exactly what the state holds: no duplicate, no orphan, nothing pending."""
    stack, swarm = small.stack, small.swarm
    assert stack.pending() == []
    assert swarm.names("services") == stack.names_in_state("service:Service")
    assert swarm.names("configs") == stack.names_in_state("serviceConfig:ServiceConfig")
    assert swarm.names("secrets") == stack.names_in_state("secret:Secret")
    assert swarm.names("networks") == stack.names_in_state("network:Network")
    assert swarm.names("volumes") == {"t-kill-store-data"}
    services = stack.outputs()["services"]
    gates = {name for name in swarm.names("services") if name.startswith("t-kill-door-gate-")}
    assert len(gates) == 1
    assert swarm.names("services") == set(services.values()) | gates
