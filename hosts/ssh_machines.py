"""Hosts that somebody else boots: machines that run the host image, reached over SSH.

A machine is what it was booted with: nothing is installed on it. It joins, and it leaves; then its operator switches it
off. To patch one, boot another one with the new image and put that one's address into the stack.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property

from docker.errors import DockerException

from hosts.machines import Machine
from hosts.ssh import REFUSED, SSH, refusal, ssh
from hosts.swarm_view import Json, cluster_of, state_of
from hosts.wanted import HostError, Wanted

PATIENCE = 60  # seconds for a command
_ASK = '. /etc/os-release; echo "${IMAGE_VERSION:-none}"; docker version --format "{{.Server.Version}}"'


class SshMachines:
    """The wanted one, the one that the host was ``before`` this update, and those that may know the cluster."""

    def __init__(self, wanted: Wanted, before: Machine | None) -> None:
        self._wanted = wanted
        self._own = _machine(wanted.name, wanted.generation, wanted.address)
        self._before = [] if before is None else [before]
        self._peers = [_machine("", "", peer) for peer in wanted.peers]

    def wake(self) -> None:
        """Somebody else does that."""

    def all(self) -> Sequence[Machine]:
        """The wanted one first, then those that may know its cluster."""
        return self._all

    @cached_property
    def _all(self) -> list[Machine]:
        # Settings name the hosts that will be. Who is in a Swarm knows its managers of today.
        told = [self._own, *self._before, *self._peers]
        return _once_each(
            [*told, *(each for engine, state in self._states.items() for each in _managers(engine, state))]
        )

    @cached_property
    def _states(self) -> dict[str, Json]:
        """What engines said of their Swarms at the beginning; one that is dead is waited for once."""
        states = {}
        for machine in _once_each([self._own, *self._before, *self._peers]):
            with suppress(DockerException, OSError):  # who is needed will be missed
                states[machine.engine] = state_of(machine.engine)
        return states

    def find(self, name: str, generation: str) -> Machine | None:
        """The wanted one, when it is what it should be, and no peer is somebody else's. Raises HostError."""
        if (name, generation) != (self._own.name, self._own.generation):
            return None
        self._check_image()
        for machine in _once_each([self._own, *self._peers]):
            self._check_cluster(machine)
        return self._own

    def bring_up(self, wanted: Wanted) -> Machine:
        """Somebody else does that. Raises HostError."""
        raise HostError(f"{wanted.address} is off: its operator boots it")

    def take_away(self, machine: Machine) -> None:
        """Its operator switches it off, or gives it other work."""

    def console(self, name: str, generation: str) -> Sequence[str]:
        """The last lines of its journal; nothing when it does not answer."""
        if (name, generation) != (self._own.name, self._own.generation):
            return []
        return _run(self._own, "journalctl --boot --lines 15 --output cat --no-pager").stdout.splitlines()

    def _check_image(self) -> None:
        """It answers and runs the image. Raises HostError."""
        address, image, wanted = self._wanted.address, self._wanted.image, self._wanted
        asked = _run(self._own, _ASK)
        said = asked.stdout.splitlines()
        if asked.returncode == REFUSED or not said:
            raise HostError(
                f"{refusal(self._own.engine, asked.stderr)}; boot it with host image {image} and your key "
                f"(ssh.authorized_keys.root), and try: ssh {address} true"
            )
        if said[0] != image:
            raise HostError(
                f"{address} runs host image {said[0]}, the release has {image}: boot a machine with that one, and "
                f"pulumi config set --path hosts.{wanted.name}.address root@<its address> -s {wanted.cluster}"
            )
        if asked.returncode:
            raise HostError(f"the engine of {address} does not answer: {asked.stderr.strip()}")

    def _check_cluster(self, machine: Machine) -> None:
        """If it is in a Swarm, then in this cluster's, as far as its managers say. Raises HostError."""
        state = self._states.get(machine.engine, {})
        if state.get("Cluster"):
            self._check_owner(f"{machine.address} manages", state)
        elif state.get("LocalNodeState") == "active" and machine != self._own:
            # (The wanted one is looked up by its node.)
            for manager in _managers(machine.engine, state):
                with suppress(DockerException, OSError):  # another one will say it
                    self._check_owner(f"{machine.address} is in", state_of(manager.engine))

    def _check_owner(self, who: str, state: Json) -> None:
        if state.get("Cluster") and (owner := cluster_of(state)) != self._wanted.cluster:
            whose = f"of cluster {owner}" if owner else "that is no cluster of a stack"
            raise HostError(f"{who} a Swarm {whose}, not of {self._wanted.cluster}: another address?")


def _machine(name: str, generation: str, address: str) -> Machine:
    return Machine(name, generation, address.rpartition("@")[2], f"{SSH}{address}")


def _once_each(machines: Iterable[Machine]) -> list[Machine]:
    """By their engines; the first of two stays."""
    found: dict[str, Machine] = {}
    for each in machines:
        found.setdefault(each.engine, each)
    return list(found.values())


def _managers(engine: str, state: Json) -> Iterator[Machine]:
    """Of the Swarm that an engine is in."""
    user = engine.removeprefix(SSH).rpartition("@")[0]
    for each in state.get("RemoteManagers") or []:
        yield _machine("", "", f"{user}@{each['Addr'].rpartition(':')[0]}")


def _run(machine: Machine, command: str) -> subprocess.CompletedProcess[str]:
    words = ssh(machine.engine, command)
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, REFUSED, "", f"no answer within {PATIENCE} s")
