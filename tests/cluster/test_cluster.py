"""Three hosts: patched one after the other, lost one after the other, and nobody notices."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.lab.door import Door
from bench.lab.workspace import wait_until
from tests.cluster.balancer import CHECK_INTERVAL, FALL
from tests.cluster.conftest import CONNECTIONS, HOSTS, PATCHED, PUBLIC, WINDOW, Site, point
from tests.conftest import BASE

# docker-py leaves a socket open when it meets an engine that does not answer.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
REQUESTS = int(os.environ.get("STELE_REQUESTS", "2000"))  # at least, while all hosts are patched
BLIPS = int(os.environ.get("STELE_BLIPS", "2"))
LOSSES = ("a follower", "the leader", "the third")[: int(os.environ.get("STELE_LOSSES", "1"))]
BUSY = 20  # seconds
SWARMS_OWN = 15  # seconds until a Swarm counts a host as lost, by default


def test_every_host_serves_and_data_is_the_same_behind_all(site: Site) -> None:
    addresses = [machine.address for machine in site.machines.all()]
    assert len(addresses) == len(HOSTS)
    doors = [Door(f"http://{address}:{PUBLIC}") for address in addresses]
    before = doors[0].get("/orders").json()["count"]
    for door in doors:
        assert door.order().status == 202
    for door in doors:
        wait_until("the orders", lambda door=door: door.get("/orders").json()["count"] == before + len(doors), 30)


def test_tasks_are_spread(site: Site) -> None:
    for service in site.view.services():
        nodes = [task["NodeID"] for task in site.view.tasks(service=service["ID"]) if task["DesiredState"] == "running"]
        assert len(set(nodes)) == len(nodes) == (3 if "-edge-" in service["Spec"]["Name"] else 2), service["Spec"][
            "Name"
        ]


def test_refresh_finds_nothing_to_change(site: Site) -> None:
    for stack in (site.cluster, site.product):
        stack.up("--expect-no-changes")
        stack.workspace.pulumi("refresh", "--yes", "--skip-preview", "-s", stack.name)
        stack.preview("--expect-no-changes")
        stack.up("--expect-no-changes")


def test_all_hosts_are_patched_through_a_kill_and_nobody_notices(site: Site) -> None:
    old = {machine.generation for machine in site.machines.all()}
    shape = site.shape()
    with site.load() as load:
        site.cluster.configure(version=PATCHED)
        up = site.cluster.begin_up()
        # The first host has gone by then, and with it the engine that everybody talks to.
        under_way = re.compile("host b: .* gets healthy elsewhere")
        wait_until("the second host is under way", lambda: under_way.search(up.output()) is not None, 2 * WINDOW)
        assert up.kill(everything=True), up.output()
        recovered = site.cluster.recover()
        assert recovered.returncode == 0, recovered.stdout + recovered.stderr
        site.cluster.up("--expect-no-changes")
        wait_until("requests enough", lambda: load.so_far() >= REQUESTS, 1200, 1)
    load.assert_spotless()
    print(f"\npatched three hosts: {load.report['requests']} requests, {load.report['failed']} failed")
    now = {machine.generation for machine in site.machines.all()}
    assert len(site.machines.all()) == len(HOSTS)
    assert not now & old
    assert [node["Spec"]["Role"] for node in site.view.nodes()] == ["manager"] * 3
    assert site.shape() == shape
    site.await_whole()
    # The environments' own stacks see nothing of it.
    point(site.cluster)
    site.product.workspace.pulumi("refresh", "--yes", "--skip-preview", "-s", site.product.name)
    site.product.up("--expect-no-changes")


@pytest.fixture(scope="session")
def lost_before() -> set[str]:
    """Hosts that were lost already."""
    return set()


def choose(site: Site, which: str, lost_before: set[str]) -> str:
    """The host to lose: none twice."""
    leader = next(name for name in HOSTS if (site.node(name).get("ManagerStatus") or {}).get("Leader"))
    others = sorted(set(HOSTS) - lost_before - {leader})
    name = leader if which == "the leader" or not others else others[0]
    lost_before.add(name)
    return name


@pytest.mark.parametrize("which", LOSSES)
def test_a_lost_host_is_hardly_noticed(site: Site, which: str, lost_before: set[str]) -> None:
    name = choose(site, which, lost_before)
    site.await_whole()
    engine = site.engine(name)
    with site.load() as load:
        load.wait(5)
        lost = time.time()
        engine.cut(cut=True)
        engine.kill()
        wait_until("the managers know", lambda: site.node(name)["Status"]["State"] == "down", 120)
        known = time.time() - lost
        site.await_whole()
        whole = time.time() - lost
        load.wait(5)
    report = load.report
    late = [each for each in report["failures"] if each["at"] > lost + CHECK_INTERVAL * FALL + 65]
    print(
        f"\nhost {name} ({which}) lost: {report['failed']} of {report['requests']} requests "
        f"failed; known after {known:.1f} s, every task back after {whole:.1f} s (Swarm's own: {SWARMS_OWN} s)"
    )
    print(json.dumps(report["failures"][:10]))
    assert report["acknowledged_unreadable"] == 0, report["unreadable"]
    assert report["failed"] <= in_flight(load.latencies(), lost), report["failures"]
    assert not late
    replace_host(site, name)


def in_flight(latencies: list[tuple[float, float]], lost: float) -> int:
    """Requests that were on their way when the host was lost, or came within one interval of the balancer's checks."""
    moment, interval = lost - time.time() + time.monotonic(), CHECK_INTERVAL
    waiting = sum(1 for due, took in latencies if due <= moment <= due + took)
    return min(waiting, CONNECTIONS) + sum(1 for due, _ in latencies if moment < due <= moment + interval)


def replace_host(site: Site, host: str) -> None:
    """A lost host is brought back as a user would."""
    urn = next(each["urn"] for each in site.cluster.resources() if each["urn"].endswith(f"::{host}-host"))
    site.cluster.up("--replace", urn)
    assert len(site.machines.all()) == len(HOSTS)
    site.await_whole()


def test_blips_and_a_busy_machine_move_nothing(site: Site) -> None:
    site.await_whole()
    before = tasks(site)
    engine = site.engine("b")
    for _ in range(BLIPS):
        engine.cut(cut=True)
        time.sleep(4)
        engine.cut(cut=False)
        time.sleep(4)
    assert tasks(site) == before
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        time.sleep(BUSY)
    finally:
        for each in busy:
            each.kill()
            each.wait()
    assert tasks(site) == before


def tasks(site: Site) -> set[str]:
    """Which tasks run, by their identity."""
    return {task["ID"] for task in site.view.tasks() if task["DesiredState"] == "running"}


def test_a_host_that_does_not_boot_stops_the_roll(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before, shape = tasks(site), site.shape()
    generations = {machine.generation for machine in site.machines.all()}
    # An engine that does not start.
    broken = site.folder / "bin"
    broken.mkdir()
    (broken / "dockerd").write_text("#!/bin/sh\necho it looks at its disk\necho 'no space left on this host'\nexit 1\n")
    (broken / "dockerd").chmod(0o755)
    env = site.cluster.workspace.env
    monkeypatch.setitem(env, "PATH", f"{broken}:{env['PATH']}")
    failed = site.cluster.up(check=False, version=BASE)
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    last = "the engine does not start: no space left on this host. Last lines of its console:"
    assert f"host a: boots: {last}" in said, said
    assert "a | it looks at its disk" in said, said
    assert {machine.generation for machine in site.machines.all()} == generations
    assert (tasks(site), site.shape()) == (before, shape)
    monkeypatch.undo()
    site.cluster.up(version=PATCHED)


def test_bad_settings_are_one_line_and_change_nothing(site: Site) -> None:
    stack, before, shape = site.cluster, tasks(site), site.shape()
    for settings, said in BAD:
        kept = {key: stack_settings(stack).get(f"stele:{key}") for key in settings}
        failed = stack.up(check=False, **settings)
        stack.configure(**kept)
        assert failed.returncode != 0
        told = [line.strip() for line in failed.stdout.partition("Diagnostics:")[2].splitlines() if "error: " in line]
        (line,) = [line for line in told if line != "error: update failed"]
        assert line.startswith(f"error: {said}"), failed.stdout
    stack.up("--expect-no-changes")
    assert (tasks(site), site.shape()) == (before, shape)


def stack_settings(stack: Any) -> dict[str, Any]:
    return dict(yaml.safe_load(stack.file.read_text())["config"])


BAD: list[tuple[dict[str, Any], str]] = [
    ({"version": "1.2.9"}, "stele:version: '1.2.9' is not published; published versions of orders: "),
    ({"hosts": {"a": "manager", "b": "manager"}}, "stele:hosts: '2 managers' is not allowed; allowed: 1, 3, 5 or 7"),
    ({"hosts": {"a": "boss"}}, "stele:hosts.a: 'boss' is not allowed; allowed: manager | worker"),
    ({"subnet": "8.8.8.0/24"}, "stele:subnet: '8.8.8.0/24' is not allowed; allowed: a private IPv4 network"),
]


def test_hosts_go_when_nothing_runs_on_them_and_leave_nothing(site: Site) -> None:
    refused = site.cluster.workspace.pulumi("destroy", "--yes", "--skip-preview", "-s", site.cluster.name, check=False)
    said = refused.stdout + refused.stderr
    assert "host a: t-spread still runs on this cluster; pulumi destroy -s t-spread first" in said, said
    assert len(site.machines.all()) == len(HOSTS)
    assert site.whole()
    site.cluster.up()  # the refused destroy is behind it
    for stack in (site.product, site.cluster):
        stack.workspace.pulumi("destroy", "--yes", "--skip-preview", "-s", stack.name)
    assert not site.machines.all()
    assert not list(Path("/run/netns").glob("*t-cluster*"))
