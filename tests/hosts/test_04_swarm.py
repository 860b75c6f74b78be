"""The host in a Swarm: it joins as a worker, serves the sample product's front door, goes on when its engine was
started again, is drained and removed. Each test goes on where the one before it ended."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from testinfra.host import Host

from bench.lab.workspace import wait_until
from tests.hosts.conftest import NAME, Baked
from tests.hosts.machine import LIMIT
from tests.hosts.swarm import SLOW, VERSION, Site, running, states, status


@pytest.fixture(scope="module")
def edge(site: Site, again: Host, baked: Baked) -> Any:
    """The service of the front door."""
    site.lead_to_registry(again)
    return site.front_door(baked.factory.outputs()["images"]["edge"])


def test_it_joins_as_a_worker_under_its_name(site: Site, again: Host) -> None:
    wait_until("a worker", lambda: site.node() is not None, LIMIT)
    wait_until("ready", lambda: site.node().attrs["Status"]["State"] == "ready", LIMIT)
    assert site.node().attrs["Description"]["Hostname"] == NAME


def test_a_task_of_the_product_serves_on_it(site: Site, edge: Any) -> None:
    # A task is running, for Swarm, once its health check has said so: /opt/stele/health ready.
    wait_until("the front door to be healthy", lambda: states(edge) == {"running"}, LIMIT)
    assert json.loads(site.get("/version")) == VERSION
    assert site.get("/orders/1") == "/orders/1 from behind"  # through the overlay


def test_its_engine_started_again_keeps_its_place_in_the_swarm(site: Site, again: Host, edge: Any) -> None:
    place = "docker info --format '{{.Swarm.NodeID}} {{.Swarm.LocalNodeState}}'"
    before, first = again.check_output(place), running(edge)
    again.check_output("systemctl restart docker")
    # The manager is asked: where the processor is emulated, a client of the host's own engine takes it seconds.
    wait_until("another task", lambda: running(edge) - first, LIMIT)
    assert again.check_output(place) == before
    assert site.get("/orders/2") == "/orders/2 from behind"


def test_it_is_drained_leaves_and_is_removed(site: Site, again: Host, edge: Any) -> None:
    node = site.node()
    (task,) = running(edge)
    with ThreadPoolExecutor() as callers:
        answer = callers.submit(site.get, "/orders/slow")
        time.sleep(SLOW / 3)
        node.update(node.attrs["Spec"] | {"Availability": "drain"})
        assert answer.result() == "/orders/slow from behind"  # the task was let finish what it had begun
    wait_until("the task to end", lambda: status(edge, task)["State"] != "running", LIMIT)
    ended = status(edge, task)
    assert (ended["State"], ended["ContainerStatus"].get("ExitCode", 0)) == ("shutdown", 0)
    assert again.check_output("docker ps --quiet") == ""
    assert states(edge) == {"pending"}  # it may go nowhere else

    again.check_output("docker swarm leave")
    wait_until("the manager to know", lambda: site.node().attrs["Status"]["State"] == "down", LIMIT)
    site.manager.api.remove_node(node.id)
    assert site.node() is None
