"""The host in a cluster: it joins by its hook, is taken in over SSH, goes on when its engine was started again, serves
the product's front door, has the lock of its data, is drained, leaves, is removed, and cut off. Each test goes on where
the one before it ended."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from testinfra.host import Host

from bench.lab.workspace import wait_until
from hosts.namespaced_engine import do
from tests.hosts.conftest import NAME, Baked
from tests.hosts.file_server import LEASE, FileServer
from tests.hosts.machine import LIMIT, Machine
from tests.hosts.swarm import SLOW, VERSION, Site, states

HEALTHY = ["running"] * 4  # an edge and a gate on each host


@pytest.fixture(scope="module")
def front_door(site: Site, again: Host, baked: Baked) -> list[Any]:
    """Its services."""
    site.be_patient()
    site.lead_to_registry(again)
    return site.front_door(baked.factory.outputs()["images"]["edge"])


def test_it_joins_as_a_worker_under_its_name(site: Site, again: Host) -> None:
    wait_until("a worker", lambda: site.node() is not None, LIMIT)
    wait_until("ready", lambda: site.node().attrs["Status"]["State"] == "ready", LIMIT)
    assert site.node().attrs["Description"]["Hostname"] == NAME


def test_the_cluster_takes_it_in(site: Site, machine: Machine, again: Host) -> None:
    node = site.node().id
    site.cluster.up(hosts=site.hosts(machine))
    assert (site.node().id, site.label()) == (node, "b")


def test_its_engine_started_again_keeps_its_place_in_the_swarm(site: Site, again: Host) -> None:
    place = "docker info --format '{{.Swarm.NodeID}} {{.Swarm.LocalNodeState}}'"
    before, node = again.check_output(place), site.node().id
    again.check_output("systemctl restart docker")
    wait_until("its Swarm again", lambda: again.check_output(place) == before, LIMIT)
    wait_until("ready", lambda: site.node().attrs["Status"]["State"] == "ready", LIMIT)
    assert (site.node().id, site.label()) == (node, "b")


def test_the_product_is_served_on_it(site: Site, front_door: list[Any]) -> None:
    # A task is running, for Swarm, once its health check has said so.
    wait_until("the front door to be healthy", lambda: states(front_door) == HEALTHY, LIMIT)
    assert json.loads(site.get("/version")) == VERSION
    assert site.get("/orders/1") == "/orders/1 from behind"  # through the overlay


def test_who_serves_has_the_lock_for_everybody(again: Host, files: FileServer) -> None:
    as_databases = "exec 1000>/srv/stele/lock; until flock --timeout 2 1000; do :; done; exec sleep infinity"
    again.check_output(f"systemd-run --unit=owner bash -c '{as_databases}'")
    wait_until("the lock", lambda: files.locked("lock"), LIMIT)


def test_it_is_drained_leaves_and_is_removed(site: Site, again: Host, front_door: list[Any]) -> None:
    """By one `pulumi up` of the cluster, while somebody always waits for an answer from it."""
    site.cluster.configure(hosts=site.hosts())
    with ThreadPoolExecutor(2 * SLOW) as callers:
        up, answers = site.cluster.begin_up(), []
        while up.process.poll() is None and availability(site) in {"active", "pause"}:
            answers.append(callers.submit(site.get, "/orders/slow"))
            time.sleep(SLOW / 5)
        assert up.wait() == 0, up.output()
        # It was drained then. What was on its way is answered; whoever has just come may find that the gate has gone.
        asked = answers[:-1]
        assert [each.result() for each in asked] == ["/orders/slow from behind"] * len(asked) != []
    assert site.node() is None
    assert again.check_output("docker info --format '{{.Swarm.LocalNodeState}}'") == "inactive"
    assert again.check_output("docker ps --quiet") == ""


def test_a_host_that_is_cut_off_is_off_before_its_lock_is_free(site: Site, machine: Machine, files: FileServer) -> None:
    do("ip", "-n", site.engine.name, "link", "set", site.tap.name, "down")
    wait_until("the host to be off", lambda: not machine.runs, LIMIT)
    assert files.locked("lock")
    assert "stele-fence: no answer from the server of /srv/stele for " in machine.tail()
    wait_until("the end of its lease", lambda: not files.locked("lock"), 3 * LEASE)


def availability(site: Site) -> str | None:
    """Of the host, as the manager sees it; ``pause`` before it is drained."""
    node = site.node()
    return node.attrs["Spec"]["Availability"] if node else None
