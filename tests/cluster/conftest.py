"""A cluster of three hosts on this machine, with the sample product on it, and a balancer in front."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.lab.loading import Load
from bench.lab.workspace import Stack, Workspace, wait_until
from hosts.local_machines import LocalEngine, LocalMachines
from hosts.swarm_view import SwarmView, runs
from tests.cluster.balancer import Balancer
from tests.conftest import BASE

PATCHED = "900.7.1"
PORT, PUBLIC = 18070, 18071
PREFIX = "10.83.7"
HOSTS = ("a", "b", "c")
RUNTIMES = ["edge", "intake", "ledger", "broker", "database"]
CONNECTIONS = 48
RATE = float(os.environ.get("STELE_RATE", "15"))  # requests a second: two processors run all of it
WINDOW = 240  # seconds: two processors start everything that a host had


@dataclass
class Site:
    """The stacks, and what they are on."""

    cluster: Stack
    product: Stack
    balancer: Balancer
    folder: Path

    @property
    def machines(self) -> LocalMachines:
        """The hosts' machines."""
        return machines_of(self.cluster)

    @property
    def view(self) -> SwarmView:
        """The managers' view."""
        return SwarmView(self.cluster.name, [machine.engine for machine in self.machines.all()])

    def engine(self, host: str) -> LocalEngine:
        """The engine of a host."""
        machine = next(each for each in self.machines.all() if each.name == host)
        return self.machines.engine(host, machine.generation)

    def node(self, host: str) -> dict[str, Any]:
        """A host as the managers see it."""
        return next(each for each in self.view.nodes() if each["Spec"]["Labels"].get("stele.host") == host)

    def shape(self) -> dict[str, int]:
        """Replicas wanted, by service."""
        return {each["Spec"]["Name"]: each["Spec"]["Mode"]["Replicated"]["Replicas"] for each in self.view.services()}

    def whole(self) -> bool:
        """Whether every service runs as often as it should, or as hosts that are there take."""
        ready = {each["ID"] for each in self.view.nodes() if each["Status"]["State"] == "ready"}
        for each in self.view.services():
            tasks = [task for task in self.view.tasks(service=each["ID"]) if runs(task) and task.get("NodeID") in ready]
            most = each["Spec"]["TaskTemplate"]["Placement"].get("MaxReplicas") or len(ready)
            if len(tasks) != min(each["Spec"]["Mode"]["Replicated"]["Replicas"], most * len(ready)):
                return False
        return True

    def await_whole(self) -> None:
        """Wait for that."""
        wait_until("every task runs", self.whole, WINDOW, 0.5)

    def load(self) -> Load:
        """Load on the balancer, for a ``with`` statement."""
        return Load(self.balancer.url, self.folder, rate=RATE, connections=CONNECTIONS)


@pytest.fixture(scope="session")
def site(workspace: Workspace, factory: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    factory.up(version=PATCHED)
    workspace.env["STELE_HOSTS"] = str(workspace.root / "hosts")
    hosts = dict.fromkeys(HOSTS, "manager")
    settings = {"kind": "cluster", "version": BASE, "hosts": hosts, "subnet": f"{PREFIX}.0/24", "window": WINDOW}
    cluster = Stack(workspace, "t-cluster", settings, {})
    with ExitStack() as after:
        # Whatever happened: the machines go, and with them all that is on them.
        after.callback(forget, cluster, workspace.env["DOCKER_HOST"])
        cluster.up()
        point(cluster)
        product = workspace.environment(
            "t-spread",
            version=BASE,
            cluster="t-cluster",
            state=str(folder),
            runtimes=RUNTIMES,
            port=PUBLIC,
            window=WINDOW,
        )
        after.callback(workspace.stacks.remove, product)
        product.up()
        balancer = after.enter_context(Balancer(folder, PORT, PREFIX, PUBLIC))
        yield Site(cluster, product, balancer, folder)


def point(cluster: Stack) -> None:
    """Let the environments' stacks talk to an engine of the cluster that is there."""
    cluster.workspace.env["DOCKER_HOST"] = cluster.outputs()["engine"]


def forget(cluster: Stack, engine: str) -> None:
    """Kill every machine of a cluster."""
    cluster.workspace.stacks.remove(cluster)
    cluster.workspace.env["DOCKER_HOST"] = engine
    machines = machines_of(cluster)
    for machine in machines.all():
        machines.take_away(machine)


def machines_of(cluster: Stack) -> LocalMachines:
    """The machines of a cluster's hosts."""
    return LocalMachines(cluster.name, f"{PREFIX}.0/24", Path(cluster.workspace.env["STELE_HOSTS"]))
