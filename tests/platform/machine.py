"""A machine of its own for a test: network and mount namespaces in which nobody else's engine runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "platform" / "local"

# A fresh sysfs shows the namespace's own links; the cgroups must come along, or no container starts.
SETUP = """
set -e
ip link set lo up
held=$(mktemp -d)
mount --rbind /sys/fs/cgroup "$held"
mount -t sysfs sysfs /sys
mount --rbind "$held" /sys/fs/cgroup
umount -l "$held"
rmdir "$held"
# Copies of the mounts of platforms on the host, and of its builds, would come and go during a test.
others=$(findmnt --noheadings --list --output TARGET | grep -E '/[.]stele/data/|^/run/stele-|/buildkit-mount' || true)
for mount in $others; do umount --lazy "$mount" || true; done
echo ready
exec sleep infinity
"""


class Machine:
    """Namespaces held by one process. `run` enters them."""

    def __init__(self) -> None:
        command = ["unshare", "--net", "--mount", "--propagation", "private", "bash", "-c", SETUP]
        self.holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "ready\n"

    def command(self, *command: str) -> list[str]:
        return ["nsenter", "--target", str(self.holder.pid), "--net", "--mount", "--", *command]

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*command), capture_output=True, text=True, env=_environment(environ), stdin=subprocess.DEVNULL
        )

    def start(self, *command: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(environ),
            stdin=subprocess.DEVNULL,
        )

    def close(self) -> None:
        self.holder.kill()
        self.holder.communicate()


def _environment(more: dict[str, str]) -> dict[str, str]:
    """What a shell has, without the platform that this shell may already use."""
    unwanted = ("DOCKER_", "STELE_", "BUILDX_", "BUILDKIT_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    tools = f"{ROOT}/.stele/bin:{ROOT}/.stele/docker/cli-plugins"
    return kept | {"PATH": f"{kept['PATH']}:{tools}:/usr/sbin:/sbin"} | more


class Checkout:
    """A checkout of its own on a machine: the platform's commands, and what it runs."""

    def __init__(self, machine: Machine, folder: Path, **environ: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.machine = machine
        self.folder = folder
        self.environ = environ | {"STELE_HOME": str(folder)}

    def local(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.machine.run(sys.executable, str(LOCAL), *arguments, **(self.environ | more))

    def up(self, **more: str) -> str:
        """`up` that must succeed; what it said."""
        result = self.local("up", **more)
        assert result.returncode == 0, result.stderr + self.logs()
        return result.stderr

    def env(self) -> dict[str, str]:
        lines = self.local("env").stdout.splitlines()
        pairs = (line.removeprefix("export ").partition("=") for line in lines)
        return {key: value.strip("'") for key, _, value in pairs}

    def docker(self, *arguments: str) -> str:
        result = self.machine.run("docker", *arguments, **self.env())
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def pids(self) -> dict[str, int]:
        """The recorded pid of every part and of the supervisor."""
        run = Path(self.env()["STELE_RUN"])
        names = ("engine", "registry", "buildkit", "store", "door", "sealer", "supervisor")
        records = {name: run / f"{name}.json" for name in names}
        return {name: json.loads(path.read_text())["pid"] for name, path in records.items() if path.exists()}

    def processes(self) -> list[str]:
        """Command lines of everything that runs for this checkout."""
        marks = (str(self.folder), self.env()["STELE_RUN"])
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if any(mark in line for mark in marks) and folder.name != str(os.getpid()):
                found.append(line)
        return sorted(found)

    def logs(self) -> str:
        return "\n".join(path.read_text()[-1500:] for path in (self.folder / ".stele" / "log").glob("*.log"))


def eventually(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    """Wait for something that must happen; the limit only ends a test that has failed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)
