"""A separate Docker engine on this machine, in a network namespace: another host, as far as it can tell.

It has its own images, volumes, networks and Swarm. The registry, which another host would reach over the network, is on
its own loopback: a HAProxy leads from there to this machine's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker

LIMIT = 60  # seconds until it answers, unless somebody says otherwise
# A fresh /sys shows the namespace's own interfaces, as dockerd expects; the cgroups of this machine stay in place.
_MOUNTS = """
set -e
hostname "$1"
shift
mount --rbind /sys/fs/cgroup "$1"
mount -t sysfs sysfs /sys
mount --rbind "$1" /sys/fs/cgroup
shift
exec "$@"
"""
REGISTRY = """\
global
  log stdout format raw local0 err
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
listen registry
  bind {address}:{port} namespace {namespace}
  server registry 127.0.0.1:{port}
"""


class EngineError(Exception):
    """The engine cannot be used; the text is one line with the mend. ``console``: what it said last."""

    console: Sequence[str] = ()


class NamespacedEngine:
    """``start`` it, and ``remove`` it: then nothing of it is left. It outlives the process that started it.

    ``folder`` holds its data; ``registry`` is ``127.0.0.1:PORT`` of this machine. ``what`` it is called in errors.
    """

    what = "the engine"
    limit: float = LIMIT

    def __init__(self, name: str, folder: Path, registry: str) -> None:
        self.name, self.folder, self._registry = name, folder, registry
        self._run = Path(f"/run/stele-{name}")
        self._processes: list[subprocess.Popen[bytes]] = []

    @classmethod
    def check(cls) -> None:
        """Raises EngineError where none can be started: asked before anything is lost that is to come back on one."""
        if os.geteuid() != 0:
            raise EngineError(f"{cls.what} needs root (network namespaces): sudo, or a machine of your own")
        for program in ("ip", "nsenter", "unshare", "dockerd", "haproxy"):
            if shutil.which(program, path=_path()) is None:
                raise EngineError(f"{program} is not installed: apt-get install iproute2 util-linux docker.io haproxy")

    @property
    def host(self) -> str:
        """Its DOCKER_HOST."""
        return f"unix://{self._run}/docker.sock"

    def inside(self, *command: str) -> list[str]:
        """A command that runs where its ports are."""
        return [shutil.which("ip", path=_path()) or "ip", "netns", "exec", self.name, *command]

    def client(self) -> Any:
        """A client of it."""
        return docker.DockerClient(base_url=self.host, version="auto", timeout=120)

    def start(self) -> None:
        """Bring it up, empty. Raises EngineError; then nothing of it is left."""
        self.check()
        try:
            self.remove()  # of one that was killed
            self.begin()
            self._switch_on()
        except BaseException as error:
            if isinstance(error, EngineError):
                error.console = self.console()
            self.remove()
            raise

    def start_again(self) -> None:
        """Bring it up with what it kept, as a machine that was off. Raises EngineError; then it is off as before."""
        self.check()
        try:
            self.switch_off()
            self._switch_on()
        except BaseException:
            self.switch_off()
            raise

    def _switch_on(self) -> None:
        (self.folder / "cgroup").mkdir(parents=True, exist_ok=True)
        do("ip", "netns", "add", self.name)
        do("ip", "-n", self.name, "link", "set", "lo", "up")
        self.wire()
        self.run()

    def begin(self) -> None:
        """Before anything is there: nothing, unless a subclass says what."""

    def wire(self) -> None:
        """Connect the name space with others: nothing, unless a subclass says how."""

    def run(self) -> None:
        """Start its processes, in a name space that is there, and wait until the engine answers. Raises EngineError."""
        self._run.mkdir(parents=True, exist_ok=True)
        (self.folder / "daemon.json").write_text(json.dumps(self.configuration()))  # not this machine's
        forward = self.folder / "registry.cfg"
        port = self._registry.rpartition(":")[2]
        forward.write_text(REGISTRY.format(address="127.0.0.1", port=port, namespace=self.name))
        self._spawn("registry", ["haproxy", "-db", "-f", str(forward)])
        engine = ["dockerd", "-H", self.host, "--data-root", str(self.folder / "engine"), "--exec-root"]
        engine += [str(self._run / "exec"), "-p", str(self._run / "dockerd.pid"), "--config-file"]
        engine.append(str(self.folder / "daemon.json"))
        enter = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--mount", "--uts", "--propagation", "private"]
        self._spawn("engine", [*enter, "sh", "-c", _MOUNTS, "sh", self.name, str(self.folder / "cgroup"), *engine])
        self._await()

    def configuration(self) -> dict[str, object]:
        """The engine's own daemon.json."""
        return {}

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            env = {"PATH": _path()}
            self._processes.append(subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True))

    def _await(self) -> None:
        deadline = time.monotonic() + self.limit
        while True:
            try:
                self._ping(self.limit)
            except OSError as error:
                gone = self._processes[-1].poll() is not None
                if gone or time.monotonic() > deadline:
                    raise EngineError(f"{self.what} does not start: {(self.console() or [str(error)])[-1]}") from None
                time.sleep(0.2)
            else:
                return

    def console(self, lines: int = 15) -> list[str]:
        """The last lines that the engine said."""
        log = self.folder / "engine.log"
        return log.read_text(errors="replace").strip().splitlines()[-lines:] if log.exists() else []

    def answers(self) -> bool:
        """Whether the engine does."""
        try:
            self._ping(5)
        except OSError:
            return False
        return True

    def _ping(self, seconds: float) -> None:
        """Raises OSError when it does not answer."""
        # docker-py leaves a socket open where nobody listens: https://github.com/docker/docker-py/pull/3356
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(seconds)
            engine.connect(self.host.removeprefix("unix://"))
            engine.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            if b" 200 " not in engine.recv(100):
                raise ConnectionError("it does not answer a ping")

    def processes(self) -> list[int]:
        """The engine's own process, while it runs."""
        found = []
        for pid in pids_of(self.folder):
            with suppress(OSError):  # it has just ended
                if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
                    found.append(pid)
        return found

    def kill(self) -> None:
        """SIGKILL the engine with everything in it, as a host that loses its power. Its folder stays."""
        while pids := pids_of(self.folder, self._run):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)  # those that started meanwhile are seen next
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()
        if Path(f"/run/netns/{self.name}").exists():
            inside = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
            for word in inside.stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(word), signal.SIGKILL)
            time.sleep(0.5)

    def switch_off(self) -> None:
        """:meth:`kill` it, and take away all but its folder."""
        self.kill()
        if Path(f"/run/netns/{self.name}").exists():
            subprocess.run(["ip", "netns", "delete", self.name], check=False)
        _unmount(self.folder, self._run)
        shutil.rmtree(self._run, ignore_errors=True)

    def remove(self) -> None:
        """:meth:`switch_off`, and take away what it kept."""
        self.switch_off()
        # At once no data any more, and whose it was is known as long as anything of it is there.
        gone = self.folder / "gone"
        shutil.rmtree(gone, ignore_errors=True)
        with suppress(FileNotFoundError):
            (self.folder / "engine").rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


# What an engine consists of, by the names of its programs; who only looks at its folder is none of it.
_PROGRAMS = {"dockerd", "containerd", "containerd-shim", "runc", "haproxy", "sshd"}
_STARTING = {"nsenter", "unshare", "sh"}  # what becomes an engine


def pids_of(*folders: Path) -> list[int]:
    """An engine's own processes, whose command line names one of the folders, and those of its containers, whose file
    system is there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                program = (entry / "comm").read_text().strip()
                own = program in _PROGRAMS or (program in _STARTING and _MOUNTS in words)
                named = own and any(f"{folder}/" in words for folder in folders)
                # A container's root is an overlay of the engine's data; this machine's processes have their own root.
                root = (entry / "mountinfo").read_text().partition("\n")[0]
                if named or any(f"{folder}/" in root for folder in folders):
                    found.append(int(entry.name))
    return found


def _unmount(*folders: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((each for each in mounts if any(each.startswith(f"{f}/") for f in folders)), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def do(*command: str) -> None:
    done = subprocess.run(command, env={"PATH": _path()}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{' '.join(command)}: {done.stderr.strip()}")
