"""Machines that are reached over SSH: an engine and an SSH server each, in a network namespace of this machine.

They are what `hosts/ssh_machines.py` meets, but for the image: which one they run is a file put over their os-release.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hosts.local_machines import LocalEngine, Switch
from hosts.swarm_view import state_of

PREFIX = "10.83.9"
_SSHD = """\
Port 22
ListenAddress {address}
HostKey {folder}/host-key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM yes
SetEnv DOCKER_HOST={engine}
"""
_AS_A_HOST = """
set -e
printf 'IMAGE_VERSION=%s\\n' "$1" >"$2/os-release"
mount --bind "$2/os-release" /usr/lib/os-release
mkdir -p /run/sshd
exec "$3" -D -f "$2/sshd"
"""
_CLIENT = """\
Host *
  IdentityFile {folder}/key
  UserKnownHostsFile {folder}/known
"""


class Machine(LocalEngine):
    """One of them, at an address that ends in ``number``."""

    def __init__(self, site: Site, number: int, image: str) -> None:
        self.address, self.image, self._site = f"{PREFIX}.{number}", image, site
        plain = {"name": f"m{number}", "generation": "", "address": self.address}
        super().__init__(f"ssh-{os.getpid()}-{number}", site.folder / f"m{number}", "127.0.0.1:1", site.switch, plain)

    @property
    def told(self) -> str:
        """How a stack names it."""
        return f"root@{self.address}"

    @property
    def swarm(self) -> str:
        """What its engine says of its Swarm: ``active``, ``inactive``, ..."""
        return str(state_of(self.host)["LocalNodeState"])

    def run(self) -> None:
        super().run()
        self._keys()
        own = _SSHD.format(address=self.address, folder=self.folder, engine=self.host)
        (self.folder / "sshd").write_text(own)
        self.listen()

    def _keys(self) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "host-key"], check=True)
        shutil.copy(self._site.folder / "key.pub", self.folder)
        kind, key, *_ = (self.folder / "host-key.pub").read_text().split()
        with (self._site.folder / "known").open("a") as known:
            known.write(f"{self.address} {kind} {key}\n")

    def listen(self) -> None:
        """Its SSH server starts."""
        server = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
        enter = [
            "nsenter",
            f"--net=/run/netns/{self.name}",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
        ]
        self._spawn("sshd", [*enter, _AS_A_HOST, "sh", self.image, str(self.folder), str(server)])

    def refuse(self) -> None:
        """Its SSH server ends, and the engine runs on."""
        process = self._processes.pop()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Site:
    """The wire that they are on, and the client's configuration: a user's key and known hosts, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.switch = folder, Switch(f"ssh-{os.getpid()}", f"{PREFIX}.0/24")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
        (folder / "config").write_text(_CLIENT.format(folder=folder))
        (folder / "bin").mkdir()
        # `ssh` takes no configuration from the environment; a user's own is where nobody's tests should write.
        client = folder / "bin/ssh"
        client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
        client.chmod(0o755)

    @property
    def path(self) -> str:
        """The folder of this client."""
        return f"{self.folder}/bin"

    @contextmanager
    def machines(self, images: dict[int, str]) -> Iterator[dict[int, Machine]]:
        """Machines by the end of their address, with the image that they run. Nothing is left of them afterwards."""
        with ExitStack() as after:
            after.callback(self.switch.remove)
            found = {}
            for number, image in images.items():
                found[number] = Machine(self, number, image)
                after.callback(found[number].remove)
                found[number].start()
            yield found
