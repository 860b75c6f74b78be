"""A sealed host image that is booted: a machine of its own, reached over SSH and nothing else."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import testinfra
from testinfra.host import Host

LIMIT = 900  # seconds until SSH answers; an emulated processor takes a minute or two
SIZE = "6G"  # of its disk
TAIL = 15  # lines of the console in an error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    ) -> None:
        self._image, self._folder, self._accelerator = image, folder, accelerator
        self._port = _free_port()
        self._credentials = dict(credentials or {})
        self.console = folder / "console.log"
        self.key = folder / "key"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Machine:
        self._folder.mkdir(parents=True, exist_ok=True)
        disk = self._folder / "disk.qcow2"
        if not disk.exists():
            _do("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(self._image), str(disk), SIZE)
            _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        credentials = {"ssh.authorized_keys.root": self.key.with_suffix(".pub").read_text()} | self._credentials
        command = ["qemu-system-x86_64", "-accel", self._accelerator, "-m", "1024", "-smp", "2", "-display", "none"]
        command += ["-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe", "-serial", f"file:{self.console}"]
        command += [
            "-netdev",
            f"user,id=net,hostfwd=tcp:127.0.0.1:{self._port}-:22",
            "-device",
            "virtio-net,netdev=net",
        ]
        for name, value in credentials.items():
            coded = base64.b64encode(value.encode()).decode()
            command += ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={coded}"]
        self._process = subprocess.Popen(command)
        try:
            self._await()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

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
        words = ["ssh", "-q", *self._ssh_options(), "-p", str(self._port), "root@127.0.0.1", command]
        return subprocess.run(words, capture_output=True, text=True)

    @property
    def host(self) -> Host:
        """Testinfra's view of it, over one SSH connection."""
        shared = ["-o ControlMaster=auto", f"-o ControlPath={self._folder}/ssh", "-o ControlPersist=60"]
        extra = " ".join([*self._ssh_options(), *shared])
        return testinfra.get_host(f"ssh://root@127.0.0.1:{self._port}", ssh_extra_args=extra)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _do(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
