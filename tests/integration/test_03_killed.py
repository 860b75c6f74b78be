"""SIGKILL of an `up` or a `destroy` at any point: one command mends the stack, without duplicates or orphans, and
callers notice nothing. STELE_KILL_POINTS is how many points of an upgrade (16 for twenty in all).

A small product of two runtimes, a front door and a database, so that a round takes seconds. The points are spread over
the steps that an undisturbed upgrade reports; STELE_KILL_SEED repeats the random part.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, cycle

import pytest

from bench.lab import edits, ground
from bench.lab.door import Caller, Door
from bench.lab.swarm import Running, Swarm
from bench.lab.workspace import SECRETS, Stack, Up, Workspace

POINTS = int(os.environ.get("STELE_KILL_POINTS", "4"))  # and two kills of a first `up`, two of a `destroy`
PORT = 18078
URL = f"http://127.0.0.1:{PORT}"
VERSION = "900.0.0"
PASSWORD = {"database-password": SECRETS["database-password"]}
SEED = int(os.environ.get("STELE_KILL_SEED", time.time_ns() % 10**6))


@dataclass
class Small:
    """The small environment, and how it can be changed; how many steps each kind of change reports."""

    stack: Stack
    swarm: Swarm
    steps: dict[bool, int] = field(default_factory=dict)
    windows: Iterator[int] = field(default_factory=lambda: count(61))
    sizes: Iterator[str] = field(default_factory=lambda: cycle("MS"))

    def change(self, *, whole: bool) -> None:
        """Change the settings so that everything gets a new generation, or the front door alone."""
        if whole:
            self.stack.configure(window=next(self.windows))
        else:
            self.stack.configure(sizing={"door": next(self.sizes)})

    def query(self, text: str) -> str:
        """The database's answer."""
        (container,) = self.swarm.containers("store")
        client = ["psql", "--host=/run/stele", "--username=stele", "--dbname=tiny", "--tuples-only", "--no-align"]
        code, answer = container.exec_run([*client, f"--command={text}"], user="10001")
        assert code == 0, answer
        told: str = answer.decode().strip()
        return told


@pytest.fixture(scope="module")
def tiny(workspace: Workspace, factory: Stack) -> Workspace:
    """The workspace with the small product's release published."""
    workspace.reset()
    edits.add_small_product(workspace, "tiny")
    workspace.factory("t-tiny-release", version=VERSION, product="tiny").up()
    return workspace


@pytest.fixture(scope="module")
def small(tiny: Workspace) -> Iterator[Small]:
    stack = tiny.environment("t-kill", PASSWORD, version=VERSION, product="tiny", port=PORT, window=60)
    stack.up()
    with Swarm(stack.name) as swarm:
        small = Small(stack, swarm)
        for whole in (True, False):
            small.change(whole=whole)
            undisturbed = stack.begin_up()
            assert undisturbed.wait() == 0, undisturbed.output()
            small.steps[whole] = undisturbed.event_count()
        small.query("insert into stones values ('before every kill')")
        yield small
    stack.remove()


@pytest.mark.parametrize("point", range(POINTS))
def test_a_killed_upgrade_is_mended_by_one_command(small: Small, point: int) -> None:
    stack, swarm = small.stack, small.swarm
    whole, everything = point % 4 == 0, (point + point // 4) % 2 == 0
    with Caller(URL) as caller:
        before = kill_upgrade(small, point, whole=whole, everything=everything)
        assert_not_restarted(swarm, before)
        recovered = stack.recover()
        assert recovered.returncode == 0, recovered.stdout + recovered.stderr
        assert_not_restarted(swarm, before)
    caller.assert_answered()
    if not whole:
        assert {task for task in before if task.service.startswith("t-kill-store-")} <= swarm.running()
    stack.up("--expect-no-changes")
    assert_clean(stack, swarm)


def kill_upgrade(small: Small, point: int, *, whole: bool, everything: bool) -> set[Running]:
    """Kill an upgrade that runs, after its share of steps, earlier when it proves to be over by then; what served."""
    chance = random.Random(SEED + point)
    share, pause = point / POINTS, chance.random() * 0.3
    for _ in range(5):
        before = small.swarm.running()
        step = int(small.steps[whole] * share)
        small.change(whole=whole)
        update = small.stack.begin_up()
        wait_for(update, lambda update=update, step=step: update.event_count() >= step)  # type: ignore[misc]
        time.sleep(pause)
        killed = update.kill(everything=everything)
        print(
            f"seed {SEED}: {whole=} after step {step} of {small.steps[whole]} + {pause:.2f} s, {everything=}, {killed=}"
        )
        if killed:
            return before
        share, pause = share * 0.9, 0.0
    raise AssertionError(f"five upgrades ended before they could be killed:\n{update.output()}")


def wait_for(update: Up, reached: Callable[[], bool]) -> None:
    """Wait until an update has come to a point, or ended."""
    while update.process.poll() is None and not reached():
        time.sleep(0.005)


def assert_not_restarted(swarm: Swarm, before: set[Running]) -> None:
    """Of the services that are still there, the tasks that served before still do, in the very same containers."""
    running = swarm.running()
    there = swarm.names("services")
    assert {task for task in before if task.service in there} <= running


def assert_clean(stack: Stack, swarm: Swarm) -> None:
    """The engine holds exactly what the state holds: no duplicate, no orphan, nothing pending."""
    assert stack.pending() == []
    assert swarm.names("services") == stack.names_in_state("service:Service")
    assert swarm.names("configs") == stack.names_in_state("serviceConfig:ServiceConfig")
    assert swarm.names("secrets") == stack.names_in_state("secret:Secret")
    assert swarm.names("networks") == stack.names_in_state("network:Network")
    assert swarm.names("volumes") == {f"{stack.name}-store-data"}
    services = stack.outputs()["services"]
    gates = {name for name in swarm.names("services") if name.startswith(f"{stack.name}-door-gate-")}
    assert len(gates) == 1
    assert swarm.names("services") == set(services.values()) | gates


def test_what_was_stored_survived_every_kill(small: Small) -> None:
    assert small.query("select id from stones") == "before every kill"


@pytest.mark.parametrize("everything", [True, False])
def test_a_killed_first_up_and_a_killed_destroy(tiny: Workspace, everything: bool) -> None:
    settings = {"version": VERSION, "product": "tiny", "port": PORT + 1}
    stack = tiny.environment(f"t-once-{everything}".lower(), PASSWORD, **settings)
    with Swarm(stack.name) as swarm:
        up = stack.begin_up()
        wait_for(up, lambda: bool(swarm.names("services")))
        assert up.kill(everything=everything), up.output()
        recovered = stack.recover()
        assert recovered.returncode == 0, recovered.stdout + recovered.stderr
        assert_clean(stack, swarm)
        assert Door(f"http://127.0.0.1:{PORT + 1}").get("/health").status == 200

        whole = swarm.names("services")
        destroy = stack.begin("destroy")
        wait_for(destroy, lambda: swarm.names("services") < whole)
        assert destroy.kill(everything=everything), destroy.output()
        recovered = stack.recover("--no-up")
        assert recovered.returncode == 0, recovered.stdout + recovered.stderr
        tiny.pulumi("destroy", "--yes", "--skip-preview", "-s", stack.name)
        left = {kind: names for kind, names in swarm.everything().items() if names}
        assert left == {"volumes": {f"{stack.name}-store-data"}}
        assert stack.resources() == []


def test_a_second_environment_on_the_same_port_is_refused(small: Small, tiny: Workspace) -> None:
    settings = {"version": VERSION, "product": "tiny", "port": PORT, "window": 60}
    rival = tiny.environment("t-rival", PASSWORD, **settings)
    before = small.swarm.running()
    with Caller(URL) as caller:
        refused = rival.up(check=False)
        rival.remove()
    caller.assert_answered()
    assert refused.returncode != 0
    assert f"gate: port {PORT} already leads to stele_" in refused.stdout
    assert small.swarm.running() == before


def test_what_a_killed_platform_left_in_the_packet_filter_is_taken_away(small: Small) -> None:
    """Checkouts of the same sources make generations with the same ports, so left-overs may lead to ours."""
    ours = f"stele_{ground.environment()['STELE_CHECKOUT_ID']}_t_kill"
    door = re.search(r"redirect to :(\d+)", _rules(ours))
    assert door is not None
    gone = "stele_00000000_t_gone"
    script = [f"add table inet {gone}", f"add chain inet {gone} output {{ type nat hook output priority -110; }}"]
    for generation, port in (("a0", door.group(1)), ("b0", "1")):
        rule = f'tcp dport {PORT} fib daddr type local redirect to :{port} comment "generation {generation}"'
        script.append(f"add rule inet {gone} output {rule}")
    subprocess.run(["nft", "-f", "-"], input="\n".join(script), text=True, check=True)
    try:
        small.change(whole=False)
        small.stack.up()
        assert "redirect" not in _rules(gone)
    finally:
        subprocess.run(["nft", "delete", "table", "inet", gone], check=True)


def _rules(table: str) -> str:
    return subprocess.run(["nft", "list", "table", "inet", table], capture_output=True, text=True, check=True).stdout
