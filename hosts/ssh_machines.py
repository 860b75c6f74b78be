"""Hosts that somebody else boots: machines that run the host image, reached over SSH.

A machine is what it was booted with: nothing is installed on it. It joins, and it leaves; then its operator switches it
off. To patch one, boot another with the new image and put that one's address into the stack.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from hosts.machines import Machine
from hosts.wanted import HostError, Wanted

PATIENCE = 10  # seconds
_ASK = '. /etc/os-release; echo "${IMAGE_VERSION:-none}"; docker version --format "{{.Server.Version}}"'


class SshMachines:
    """The machines of one cluster that are reached over SSH: the wanted one, and managers by their addresses."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def all(self) -> Sequence[Machine]:
        """The wanted one, and the managers."""
        wanted = self._wanted
        own = [_machine(wanted.name, wanted.generation, wanted.address)] if wanted.address else []
        return [*own, *(_machine("", "", each) for each in wanted.managers if each != wanted.address)]

    def find(self, name: str, generation: str) -> Machine | None:
        """The wanted one, when it answers and is what it should be. HostError when it is something else."""
        found = next((each for each in self.all() if (each.name, each.generation) == (name, generation)), None)
        if found is not None:
            self._check()
        return found

    def bring_up(self, wanted: Wanted) -> Machine:
        """It is up, or an error: nothing here switches a machine on."""
        self._check()
        return _machine(wanted.name, wanted.generation, wanted.address)

    def take_away(self, name: str, generation: str) -> None:
        """It leaves the cluster, if it answers; its operator switches it off."""
        if self._wanted.address and (name, generation) == (self._wanted.name, self._wanted.generation):
            _ssh(self._wanted.address, "docker swarm leave --force")

    def console(self, name: str, generation: str) -> list[str]:
        """The last lines of its journal."""
        if not self._wanted.address or (name, generation) != (self._wanted.name, self._wanted.generation):
            return []
        return _ssh(self._wanted.address, "journalctl --boot --lines 15 --output cat --no-pager").stdout.splitlines()

    def _check(self) -> None:
        address, name = self._wanted.address, self._wanted.name
        asked = _ssh(address, _ASK)
        said = asked.stdout.splitlines()
        if asked.returncode == 255:  # ssh's own
            reason = (asked.stderr.strip().splitlines() or ["no answer"])[-1]
            raise HostError(
                f"host {name}: {address} refuses SSH: {reason}; boot it with the host image and your key "
                f"(ssh.authorized_keys.root), and try: ssh {address} true"
            )
        if not said or said[0] != self._wanted.image:
            runs = said[0] if said else "none"
            raise HostError(
                f"host {name}: {address} runs host image {runs}, the release has {self._wanted.image}: boot that one"
            )
        if asked.returncode:
            reason = (asked.stderr.strip().splitlines() or ["no answer"])[-1]
            raise HostError(f"host {name}: the engine of {address} does not answer: {reason}")


def _machine(name: str, generation: str, address: str) -> Machine:
    return Machine(name, generation, address.rpartition("@")[2], f"ssh://{address}")


def _ssh(address: str, command: str) -> subprocess.CompletedProcess[str]:
    options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={PATIENCE}", "-o", "ServerAliveInterval=5"]
    return subprocess.run(["ssh", *options, address, command], capture_output=True, text=True, check=False)
