"""A sealed host image that is booted: a machine of its own, reached over SSH and nothing else."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import testinfra
from testinfra.host import Host

LIMIT = 900  # seconds until SSH answers, or it is off; an emulated processor takes a minute or two
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
    """``with Machine(image, folder, credentials) as machine: machine.host.run("true")``.

    The image stays as it is: what the machine writes goes to a file of its own in ``folder``.
    """

    def __init__(
        self,
        image: Path,
        folder: Path,
        credentials: Mapping[str, str] | None = None,
        *,
        accelerator: str,
        wire: Loopback | Tap | None = None,
        size: str = SIZE,
    ) -> None:
        self._folder, self._accelerator = folder, accelerator
        self._wire = wire or Loopback()
        self.console = folder / "console.log"
        self.key = folder / "key"
        self._disk = folder / "disk.qcow2"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        _do("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image), str(self._disk), size)
        _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        self._credentials = {"ssh.authorized_keys.root": self.key.with_suffix(".pub").read_text()} | dict(
            credentials or {}
        )

    def __enter__(self) -> Machine:
        command = [*self._wire.inside, "qemu-system-x86_64", "-accel", self._accelerator, "-m", "1024", "-smp", "2"]
        command += ["-display", "none", "-drive", f"file={self._disk},if=virtio,format=qcow2,cache=unsafe"]
        command += ["-serial", f"file:{self.console}"]
        command += ["-netdev", f"{self._wire.netdev},id=net", "-device", "virtio-net,netdev=net"]
        for name, value in self._credentials.items():
            coded = base64.b64encode(value.encode()).decode()
            command += ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={coded}"]
        self._process = subprocess.Popen(command)
        try:
            self._await()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def reboot(self, size: str) -> None:
        """Shut it down, give its disk this size, and start it again."""
        assert self._process is not None
        self.ssh("systemctl poweroff")
        self._process.wait(LIMIT)
        _do("qemu-img", "resize", "-q", str(self._disk), size)
        self.__enter__()

    def _await(self) -> None:
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(f"QEMU ended with {self._process.returncode}: {self.tail()}")
            if self.ssh("true").returncode == 0:
                return
            time.sleep(2)
        raise AssertionError(f"no SSH after {LIMIT} s: {self.tail()}")

    def tail(self) -> str:
        """The last lines of the console."""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-TAIL:]) if self.console.exists() else ""

    def _ssh_options(self) -> list[str]:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=10", "BatchMode=yes"]
        return [*(word for option in options for word in ("-o", option)), "-i", str(self.key)]

    def ssh(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on it."""
        words = [*self._wire.inside, "ssh", "-q", *self._ssh_options(), "-p", str(self._wire.port)]
        return subprocess.run([*words, f"root@{self._wire.address}", command], capture_output=True, text=True)

    def said(self, command: str) -> str:
        """What a command prints on it."""
        done = self.ssh(command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    @property
    def host(self) -> Host:
        """Testinfra's view of it, over one SSH connection."""
        shared = ["-o ControlMaster=auto", f"-o ControlPath={self._folder}/ssh", "-o ControlPersist=60"]
        extra = " ".join([*self._ssh_options(), *shared])
        return testinfra.get_host(f"ssh://root@{self._wire.address}:{self._wire.port}", ssh_extra_args=extra)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _do(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
