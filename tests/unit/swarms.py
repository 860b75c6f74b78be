"""Machines, their engines and their Swarms, in memory: what `hosts/roll.py` sees of them over SSH, without time."""

from __future__ import annotations

import copy
import itertools
import subprocess
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from docker.errors import APIError, DockerException

from hosts import roll, ssh, ssh_machines, swarm_view
from hosts.machines import Machine
from hosts.roll import Roll
from hosts.ssh_machines import SshMachines
from hosts.swarm_view import CLUSTER_LABEL, ENGINE_LABEL, GENERATION_LABEL
from hosts.wanted import HOST_LABEL, Role, Wanted

CLUSTER = "cluster"
_ids = itertools.count(1)


def _refused(code: int, why: str) -> APIError:
    response = requests.Response()
    response.status_code = code
    return APIError(why, response=response, explanation=why)


@dataclass
class Swarm:
    """Its nodes by ID, what runs on them, and whose it is."""

    cluster: str | None
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # its other labels
    healthy: bool = True  # what is started from now on gets healthy
    leaderless: int = 0  # how often it says that it has no leader

    @property
    def labels(self) -> dict[str, str]:
        """Its own."""
        return self.notes | ({CLUSTER_LABEL: self.cluster} if self.cluster else {})

    def serve(self, name: str, replicas: int) -> None:
        """Let a service run."""
        spec = {"Name": name, "Mode": {"Replicated": {"Replicas": replicas}}, "TaskTemplate": {}, "Labels": {}}
        self.services.append({"ID": name, "Version": {"Index": 1}, "Spec": spec})
        self.place()

    def running(self, name: str) -> list[dict[str, Any]]:
        """Its tasks that are to run."""
        return [task for task in self.tasks if task["ServiceID"] == name and task["DesiredState"] == "running"]

    def where(self, name: str) -> list[str]:
        """The addresses where it runs."""
        return sorted(self.nodes[task["NodeID"]]["Status"]["Addr"] for task in self.running(name))

    def place(self) -> None:
        """Start and end tasks, as Swarm does: where there are the fewest."""
        for task in self.tasks:
            if self.nodes.get(task["NodeID"], {"Spec": {"Availability": "drain"}})["Spec"]["Availability"] == "drain":
                task["DesiredState"] = task["Status"]["State"] = "shutdown"
        free = [key for key, node in self.nodes.items() if node["Spec"]["Availability"] == "active"]
        for service in self.services:
            name, wanted = service["ID"], service["Spec"]["Mode"]["Replicated"]["Replicas"]
            while len(tasks := self.running(name)) > wanted:
                tasks[-1]["DesiredState"] = tasks[-1]["Status"]["State"] = "shutdown"
            while len(tasks := self.running(name)) < wanted and free:
                on = min(free, key=lambda node, tasks=tasks: [task["NodeID"] for task in tasks].count(node))  # type: ignore[misc]
                state = {"State": "running" if self.healthy else "starting", "Err": "" if self.healthy else "no luck"}
                task = {"ID": f"t{next(_ids)}", "ServiceID": name, "NodeID": on, "DesiredState": "running"}
                self.tasks.append(task | {"Status": state})


@dataclass
class Computer:
    """A machine with an engine, at an address."""

    address: str
    image: str = "img"
    swarm: Swarm | None = None
    node: str = ""
    dead: bool = False
    shut: bool = False  # its SSH lets nobody in
    join_refused: str = ""  # why it cannot join
    slow_to_join: bool = False  # it joins when its client has given up waiting
    gives_up: str = ""  # or it does not, then, and says why
    pending: int = 0  # how often it says that it is still looking for its Swarm
    volumes: list[str] = field(default_factory=list)

    def join(self, swarm: Swarm, role: str, labels: dict[str, str] | None = None) -> None:
        self.swarm, self.node = swarm, f"n{next(_ids)}"
        spec = {"Role": role, "Availability": "active", "Labels": labels or {}}
        status = {"State": "ready", "Addr": self.address}
        swarm.nodes[self.node] = {"ID": self.node, "Version": {"Index": 1}, "Spec": spec, "Status": status}
        self._manage()

    def _manage(self) -> None:
        node = self.own
        if node is not None and node["Spec"]["Role"] == "manager":
            node["ManagerStatus"] = {"Reachability": "reachable", "Addr": f"{self.address}:2377"}

    @property
    def own(self) -> dict[str, Any] | None:
        """Its node."""
        return self.swarm.nodes.get(self.node) if self.swarm else None

    def managed(self) -> Swarm:
        """The Swarm that it manages."""
        if self.swarm is None or self.own is None or self.own["Spec"]["Role"] != "manager":
            raise _refused(503, "This node is not a swarm manager")
        if self.swarm.leaderless:
            self.swarm.leaderless -= 1
            raise _refused(500, "The swarm does not have a leader")
        return self.swarm

    def lose(self) -> None:
        """What the others know of it then."""
        if self.own is not None:
            self.own["Status"]["State"] = "down"
            if "ManagerStatus" in self.own:
                self.own["ManagerStatus"]["Reachability"] = "unreachable"

    def leave(self) -> None:
        self.lose()
        self.swarm, self.node = None, ""

    def info(self) -> dict[str, Any]:
        """As its engine tells it."""
        if self.pending:
            self.pending -= 1
            return {"Swarm": {"LocalNodeState": "pending", "NodeID": self.node, "ControlAvailable": False}}
        if self.swarm is None:
            state = "error" if self.gives_up else "inactive"
            return {"Swarm": {"LocalNodeState": state, "Error": self.gives_up, "NodeID": "", "ControlAvailable": False}}
        managers = [node for node in self.swarm.nodes.values() if "ManagerStatus" in node]
        told = {"LocalNodeState": "active", "NodeID": self.node, "ControlAvailable": False, "Cluster": None}
        told["RemoteManagers"] = [{"NodeID": each["ID"], "Addr": each["ManagerStatus"]["Addr"]} for each in managers]
        if self.own is not None and self.own["Spec"]["Role"] == "manager":
            cluster = None if self.swarm.leaderless else {"Spec": {"Labels": self.swarm.labels}}
            told |= {"ControlAvailable": True, "Cluster": cluster}
        return {"Swarm": told}


class Api:
    """The part of docker-py's low-level client that is called."""

    def __init__(self, computer: Computer) -> None:
        self._computer = computer

    def nodes(self) -> list[dict[str, Any]]:
        return copy.deepcopy(list(self._computer.managed().nodes.values()))

    def inspect_node(self, identity: str) -> dict[str, Any]:
        return copy.deepcopy(self._computer.managed().nodes[identity])

    def update_node(self, identity: str, _: int, spec: dict[str, Any]) -> None:
        node = self._computer.managed().nodes[identity]
        node["Spec"] = spec
        if spec["Role"] == "worker":
            node.pop("ManagerStatus", None)
        else:
            node["ManagerStatus"] = {"Reachability": "reachable", "Addr": f"{node['Status']['Addr']}:2377"}
        self._computer.managed().place()

    def remove_node(self, identity: str, *, force: bool) -> None:
        assert force
        del self._computer.managed().nodes[identity]

    def inspect_swarm(self) -> dict[str, Any]:
        swarm = self._computer.managed()
        tokens = {"Manager": (swarm, "manager"), "Worker": (swarm, "worker")}
        return {
            "JoinTokens": tokens,
            "Spec": {"Dispatcher": {}, "Labels": dict(swarm.labels)},
            "Version": {"Index": 1},
        }

    def update_swarm(self, _: int, swarm_spec: dict[str, Any]) -> None:
        swarm, notes = self._computer.managed(), dict(swarm_spec["Labels"])
        swarm.cluster, swarm.notes = notes.pop(CLUSTER_LABEL, None), notes

    def services(self, _: Any = None) -> list[dict[str, Any]]:
        return copy.deepcopy(self._computer.managed().services)

    def tasks(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        keys = {"service": "ServiceID", "node": "NodeID"}
        wanted = {keys[name]: value for name, value in filters.items()}
        return [task for task in self._computer.managed().tasks if wanted.items() <= task.items()]

    def _url(self, path: str, service: str) -> str:
        return path.format(service)

    def _post_json(self, url: str, data: dict[str, Any], params: dict[str, int]) -> None:
        assert params == {"version": 1}
        swarm = self._computer.managed()
        next(each for each in swarm.services if f"/{each['ID']}/" in url)["Spec"] = data
        swarm.place()

    def _raise_for_status(self, _: None) -> None:
        """It has been said."""


class Client:
    """The part of docker-py's client that is called."""

    def __init__(self, computer: Computer) -> None:
        self._computer, self.api, self.swarm = computer, Api(computer), self
        self.volumes = SimpleNamespace(list=lambda: [SimpleNamespace(name=each) for each in computer.volumes])

    def info(self) -> dict[str, Any]:
        return self._computer.info()

    def join(self, _: list[str], token: tuple[Swarm, str], **_more: str) -> None:
        if self._computer.join_refused:
            raise _refused(500, self._computer.join_refused)
        if not self._computer.gives_up:
            self._computer.join(*token)
        if self._computer.slow_to_join:
            self._computer.pending = 3
            raise _refused(503, "Timeout was reached before node joined. The attempt to join will continue")

    def init(self, *, labels: dict[str, str], **_more: str) -> None:
        self._computer.join(Swarm(labels[CLUSTER_LABEL]), "manager")

    def leave(self, *, force: bool) -> None:
        assert force
        self._computer.leave()


class World:
    """All machines, by address."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._all: dict[str, Computer] = {}
        for module in (roll, swarm_view):
            patch.setattr(module, "connect", lambda engine, *_: Client(self._reach(engine)))
        patch.setattr(ssh_machines, "_run", self._run)
        patch.setattr(swarm_view, "PATIENCE", 0)
        patch.setattr(swarm_view, "_managing", set())
        patch.setattr(swarm_view, "_failed", {})
        patch.setattr("hosts.steps.time.sleep", lambda _: None)

    def __getitem__(self, address: str) -> Computer:
        return self._all[address]

    def add(self, *addresses: str, image: str = "img") -> None:
        """Machines that are in no Swarm, in the place of those that were there."""
        for address in addresses:
            if address in self._all:
                self._all[address].lose()
            self._all[address] = Computer(address, image)

    def also(self, address: str, other: str) -> None:
        """A machine has another address, too."""
        self._all[other] = self._all[address]

    def cluster(self, *hosts: Wanted) -> Swarm:
        """One of these hosts."""
        swarm = Swarm(hosts[0].cluster)
        for host in hosts:
            self.add(ip(host), image=host.image)
            self[ip(host)].join(swarm, host.role.value, labels(host))
        return swarm

    def roll(self, host: Wanted, before: Wanted | None = None) -> Roll:
        """What the host's command does; ``before``: what it printed last time."""
        was = None if before is None else Machine(before.name, before.generation, ip(before), engine(before))
        return Roll(host, SshMachines(host, was))

    def _reach(self, url: str) -> Computer:
        computer = self._all.get(url.rpartition("@")[2])
        if computer is None or computer.dead:
            raise DockerException(ssh.refusal(url, "timed out"))
        if computer.shut:
            raise DockerException(ssh.refusal(url, "Permission denied (publickey)."))
        return computer

    def _run(self, machine: Machine, command: str) -> subprocess.CompletedProcess[str]:
        try:
            computer = self._reach(machine.engine)
        except DockerException as error:
            return subprocess.CompletedProcess([], 255, "", str(error))
        said = f"{computer.image}\n20.10\n" if "os-release" in command else "what it logs\n"
        return subprocess.CompletedProcess([], 0, said, "")


def host(
    name: str, address: str, role: str = "manager", *, peers: str = "", image: str = "img", cluster: str = CLUSTER
) -> Wanted:
    """One of a stack's hosts; ``peers``: their addresses."""
    return Wanted(
        cluster=cluster,
        name=name,
        generation=f"{image}-{address}",
        role=Role(role),
        subnet="",
        window=1,
        address=f"root@{address}",
        image=image,
        peers=tuple(f"root@{each}" for each in peers.split()),
    )


def ip(wanted: Wanted) -> str:
    """Where a host is."""
    return wanted.address.partition("@")[2]


def engine(wanted: Wanted) -> str:
    """Its DOCKER_HOST."""
    return f"ssh://{wanted.address}"


def labels(wanted: Wanted) -> dict[str, str]:
    """Those of its node."""
    return {HOST_LABEL: wanted.name, GENERATION_LABEL: wanted.generation, ENGINE_LABEL: engine(wanted)}


def members(swarm: Swarm) -> list[tuple[str, str, str]]:
    """Its nodes: which host each is, where, and as what; sorted."""
    return sorted(
        (node["Spec"]["Labels"].get(HOST_LABEL, ""), node["Status"]["Addr"], node["Spec"]["Role"])
        for node in swarm.nodes.values()
    )
