"""A sealed host image that is started: a machine of its own, reached over SSH and nothing else."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from checks import ssh
from shell import Shell, ShellError, view
from testinfra.host import Host

LIMIT = 900  # seconds until it has started, or is off; an emulated processor takes a minute or two
SIZE = "6G"  # of its disk
TAIL = 15  # lines of the console in an error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Loopback:
    """QEMU's own network: the machine reaches out, and its SSH is a port of this host's loopback."""

    port: int = field(default_factory=_free_port)

    address = "127.0.0.1"
    inside: tuple[str, ...] = ()

    @property
    def netdev(self) -> str:
        """QEMU's option."""
        return f"user,hostfwd=tcp:127.0.0.1:{self.port}-:22"


@dataclass(frozen=True)
class Tap:
    """A tap in a network namespace, for a machine that others reach under an address of its own."""

    namespace: str
    name: str
    address: str

    port = 22

    @property
    def inside(self) -> tuple[str, ...]:
        """What runs a command where the machine is reached."""
        return ("ip", "netns", "exec", self.namespace)

    @property
    def netdev(self) -> str:
        """QEMU's option."""
        return f"tap,ifname={self.name},script=no,downscript=no"


class Machine:
    """``with Machine(image, folder, credentials) as machine: machine.host.run("true")``, once it has started.

    The image stays as it is: what the machine writes goes to a file of its own in ``folder``.
    """

    host: Host  # testinfra's view of it, over one shell for as long as it runs

    def __init__(
        self,
        image: Path,
        folder: Path,
        credentials: Mapping[str, str] | None = None,
        *,
        accelerator: str,
        size: str = SIZE,
    ) -> None:
        self._accelerator = accelerator
        self._wire: Loopback | Tap = Loopback()
        self.starts = 0
        self.console = folder / "console.log"
        self.key = folder / "key"
        self._disk = folder / "disk.qcow2"
        self._process: subprocess.Popen[bytes] | None = None
        self._shell: Shell | None = None
        folder.mkdir(parents=True, exist_ok=True)
        _do("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image), str(self._disk), size)
        _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        self._credentials = {"ssh.authorized_keys.root": self.key.with_suffix(".pub").read_text()} | dict(
            credentials or {}
        )

    def __enter__(self) -> Machine:
        processors = "2" if self._accelerator == "kvm" else "1"  # as for the build: packer/locals.pkr.hcl
        command = [*self._wire.inside, "qemu-system-x86_64", "-accel", self._accelerator, "-smp", processors]
        command += ["-m", "1024", "-display", "none", "-serial", f"file:{self.console}"]
        command += ["-drive", f"file={self._disk},if=virtio,format=qcow2,cache=unsafe"]
        command += ["-netdev", f"{self._wire.netdev},id=net", "-device", "virtio-net,netdev=net", "-no-reboot"]
        for name, value in self._credentials.items():
            coded = base64.b64encode(value.encode()).decode()
            command += ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={coded}"]
        self._process = subprocess.Popen(command, start_new_session=True)
        self.starts += 1
        try:
            self._await()
        except BaseException:
            self.kill()
            raise
        return self

    def start_again(self, size: str, wire: Tap, credentials: Mapping[str, str]) -> None:
        """Shut it down; start it with a disk of this size, on this wire, and told this, too."""
        assert self._process is not None
        self.host.run("systemctl --no-block poweroff")
        self._process.wait(LIMIT)
        self.kill()
        _do("qemu-img", "resize", "-q", str(self._disk), size)
        self._wire = wire
        self._credentials |= credentials
        self.__enter__()

    def _await(self) -> None:
        """Until it has started whatever it starts: SSH is there early."""
        words = [*self._wire.inside, *ssh(self._wire.address, self._wire.port, str(self.key), patience=10)]
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(f"QEMU ended with {self._process.returncode}: {self.tail()}")
            self._shell = Shell("the machine", words, LIMIT)
            try:
                self._shell.run("systemctl is-system-running --wait")
            except ShellError:
                self._shell.close()
                time.sleep(1)
            else:
                self.host = view(self._shell)
                return
        raise AssertionError(f"no SSH after {LIMIT} s: {self.tail()}")

    def tail(self) -> str:
        """The last lines of the console."""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-TAIL:]) if self.console.exists() else ""

    @property
    def runs(self) -> bool:
        """Whether it is on, and has not started anew by itself."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Take its power away, if it is on."""
        if self._shell is not None:
            self._shell.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()


def _do(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
