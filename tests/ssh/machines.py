"""Machines that are reached over SSH: an engine and an SSH server each, in a network namespace of this machine.

They are what `hosts/ssh_machines.py` meets, but for the image: which one they run is a file put over their os-release.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hosts.local_machines import LocalEngine, Switch
from hosts.namespaced_engine import NamespacedEngine
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


class Login:
    """A user's SSH: a key, known hosts, and the program itself, in ``bin``; ``inside`` is what it runs in."""

    def __init__(self, folder: Path, inside: Sequence[str] = ()) -> None:
        self.folder, self.bin, self.key = folder, folder / "bin", folder / "key.pub"
        self.bin.mkdir(parents=True)
        _make_key(folder / "key")
        (folder / "config").write_text(_CLIENT.format(folder=folder))
        # `ssh` takes no configuration from the environment, and a user's own is not for tests to write.
        words = [*inside, str(shutil.which("ssh")), "-F", str(folder / "config")]
        (self.bin / "ssh").write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (self.bin / "ssh").chmod(0o755)

    def know(self, address: str, key: str) -> None:
        """A host's key, as its ``.pub`` file says it."""
        with (self.folder / "known").open("a") as known:
            known.write(f"{address} {' '.join(key.split()[:2])}\n")


class SshEngine(NamespacedEngine):
    """An engine with an SSH server beside it. It is ``told`` who may log in, where, and what it says, then started."""

    _login: Login
    address: str
    _image: str

    def told(self, login: Login, address: str, image: str) -> None:
        """Who may log in, at which address, and the IMAGE_VERSION that it says."""
        self._login, self.address, self._image = login, address, image

    @property
    def user(self) -> str:
        """How a stack names it."""
        return f"root@{self.address}"

    @property
    def swarm(self) -> str:
        """What its engine says of its Swarm: ``active``, ``inactive``, ..."""
        return str(state_of(self.host)["LocalNodeState"])

    def run(self) -> None:
        super().run()
        _make_key(self.folder / "host-key")
        self._login.know(self.address, (self.folder / "host-key.pub").read_text())
        shutil.copy(self._login.key, self.folder / "key.pub")
        own = _SSHD.format(address=self.address, folder=self.folder, engine=self.host)
        (self.folder / "sshd").write_text(own)
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
        self._spawn("sshd", [*enter, _AS_A_HOST, "sh", self._image, str(self.folder), str(server)])

    def refuse(self) -> None:
        """Its SSH server ends, and the engine runs on."""
        process = self._processes.pop()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Machine(SshEngine, LocalEngine):
    """One of several on a wire."""


@contextmanager
def machines(folder: Path, login: Login, images: dict[int, str], registry: str) -> Iterator[dict[int, Machine]]:
    """Machines by the end of their address, with the image that they run. Nothing is left of them afterwards."""
    switch = Switch(f"ssh-{os.getpid()}", f"{PREFIX}.0/24")
    with ExitStack() as after:
        after.callback(switch.remove)
        found = {}
        for number, image in images.items():
            address = f"{PREFIX}.{number}"
            plain = {"name": f"m{number}", "generation": "", "address": address}
            machine = Machine(f"ssh-{os.getpid()}-{number}", folder / f"m{number}", registry, switch, plain)
            machine.told(login, address, image)
            after.callback(machine.remove)
            machine.start()
            found[number] = machine
        yield found


def _make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
