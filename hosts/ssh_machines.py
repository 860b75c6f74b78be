"""Hosts that somebody else boots: machines that run the host image, reached over SSH.

A machine is what it was booted with: nothing is installed on it. It joins, and it leaves; then its operator switches it
off. To patch one, boot another one with the new image and put that one's address into the stack.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from hosts.engine_client import SSH, refusal, ssh
from hosts.machines import Machine
from hosts.wanted import HostError, Wanted

_ASK = '. /etc/os-release; echo "${IMAGE_VERSION:-none}"; docker version --format "{{.Server.Version}}"'


class SshMachines:
    """The wanted one, the one that the host was ``before`` this update, and managers that may know the cluster."""

    def __init__(self, wanted: Wanted, before: Machine | None) -> None:
        self._wanted, self._before = wanted, before
        self._own = _machine(wanted.name, wanted.generation, wanted.address)

    def all(self) -> Sequence[Machine]:
        """The wanted one first, then those that may know its cluster."""
        others = [self._before] if self._before is not None else []
        others += [_machine("", "", peer) for peer in self._wanted.peers]
        by_engine = {each.engine: each for each in [*reversed(others), self._own]}
        return [self._own, *(each for each in reversed(by_engine.values()) if each != self._own)]

    def find(self, name: str, generation: str) -> Machine | None:
        """The wanted one, when it is what it should be. Raises HostError."""
        if (name, generation) != (self._own.name, self._own.generation):
            return None
        self._check()
        return self._own

    def bring_up(self, wanted: Wanted) -> Machine:
        """Somebody else does that. Raises HostError."""
        raise HostError(f"{wanted.address} is off: its operator boots it")

    def take_away(self, machine: Machine) -> None:
        """It leaves the cluster, if it answers and has not yet; its operator switches it off."""
        _run(machine, "docker swarm leave --force")

    def console(self, name: str, generation: str) -> Sequence[str]:
        """The last lines of its journal; nothing when it does not answer."""
        if (name, generation) != (self._own.name, self._own.generation):
            return []
        return _run(self._own, "journalctl --boot --lines 15 --output cat --no-pager").stdout.splitlines()

    def _check(self) -> None:
        """It answers and runs the image. Raises HostError."""
        address, image = self._wanted.address, self._wanted.image
        asked = _run(self._own, _ASK)
        said = asked.stdout.splitlines()
        if asked.returncode == 255 or not said:
            raise HostError(
                f"{refusal(self._own.engine, asked.stderr)}; boot it with host image {image} and your key "
                f"(ssh.authorized_keys.root), and try: ssh {address} true"
            )
        if said[0] != image:
            raise HostError(
                f"{address} runs host image {said[0]}, the release has {image}: boot a machine with that one, and "
                f"pulumi config set --path hosts.{self._wanted.name}.address root@<its address>"
            )
        if asked.returncode:
            raise HostError(f"the engine of {address} does not answer: {asked.stderr.strip()}")


def _machine(name: str, generation: str, address: str) -> Machine:
    return Machine(name, generation, address.rpartition("@")[2], f"{SSH}{address}")


def _run(machine: Machine, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ssh(machine.engine, command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
