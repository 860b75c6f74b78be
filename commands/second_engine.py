"""A second, separate Docker engine on this machine, in a network namespace: another host, as far as it can tell.

It has its own images, volumes, networks and Swarm. The registry, which another host would reach over the network, is on
its own loopback: a HAProxy leads from there to this machine's.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException

LIMIT = 60  # seconds until it answers
# A fresh /sys shows the namespace's own interfaces, as dockerd expects; the cgroups of this machine stay in place.
_MOUNTS = """
set -e
mount --rbind /sys/fs/cgroup "$1"
mount -t sysfs sysfs /sys
mount --rbind "$1" /sys/fs/cgroup
shift
exec "$@"
"""
_FORWARD = """\
global
  log stdout format raw local0 err
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
listen registry
  bind 127.0.0.1:{port} namespace {namespace}
  server registry 127.0.0.1:{port}
"""


class EngineError(Exception):
    """The second engine cannot be used; the text is one line with the mend."""


class SecondEngine:
    """``start`` it, and ``remove`` it: then nothing of it is left.

    ``folder`` holds its data; ``registry`` is ``127.0.0.1:PORT`` of this machine.
    """

    def __init__(self, name: str, folder: Path, registry: str) -> None:
        self.name, self._folder, self._registry = name, folder, registry
        self._run = Path(f"/run/stele-{name}")
        self._processes: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def check() -> None:
        """Raises EngineError where none can be started: asked before anything is lost that is to come back on one."""
        if os.geteuid() != 0:
            raise EngineError("a second engine needs root (network namespaces): sudo, or a machine of your own")
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
        """Bring it up. Raises EngineError; then nothing of it is left."""
        try:
            self._start()
        except BaseException:
            self.remove()
            raise

    def _start(self) -> None:
        self.check()
        self.remove()  # of one that was killed
        (self._folder / "cgroup").mkdir(parents=True)
        self._run.mkdir(parents=True)
        _do("ip", "netns", "add", self.name)
        _do("ip", "-n", self.name, "link", "set", "lo", "up")
        (self._folder / "daemon.json").write_text("{}")  # not this machine's
        forward = self._folder / "registry.cfg"
        forward.write_text(_FORWARD.format(port=self._registry.rpartition(":")[2], namespace=self.name))
        self._spawn("registry", ["haproxy", "-db", "-f", str(forward)])
        engine = ["dockerd", "-H", self.host, "--data-root", str(self._folder / "engine"), "--exec-root"]
        engine += [str(self._run / "exec"), "-p", str(self._run / "dockerd.pid"), "--config-file"]
        engine.append(str(self._folder / "daemon.json"))
        enter = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "-m", "--propagation", "private"]
        self._spawn("engine", [*enter, "sh", "-c", _MOUNTS, "sh", str(self._folder / "cgroup"), *engine])
        self._await()
        try:
            self.client().swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
        except (DockerException, OSError) as error:  # those of requests are OSErrors
            raise EngineError(f"the second engine starts no Swarm: {' '.join(str(error).split())}") from error

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            env = {"PATH": _path()}
            self._processes.append(subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True))

    def _await(self) -> None:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                self.client().ping()
            except (DockerException, OSError, requests.RequestException) as error:
                gone = self._processes[-1].poll() is not None
                if gone or time.monotonic() > deadline:
                    said = (self._folder / "engine.log").read_text(errors="replace").strip().splitlines()
                    raise EngineError(f"the second engine does not start: {said[-1] if said else error}") from None
                time.sleep(0.2)
            else:
                return

    def remove(self) -> None:
        """SIGKILL the engine with everything in it, as a host that is lost, and take away what it kept."""
        while pids := _pids_of(self._folder, self._run):
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
            subprocess.run(["ip", "netns", "delete", self.name], check=False)
        _unmount(self._folder, self._run)
        for folder in (self._folder, self._run):
            shutil.rmtree(folder, ignore_errors=True)


def _pids_of(*folders: Path) -> list[int]:
    """Processes whose command line or file system names one of the folders: the engine's own, and its containers'."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                named = any(f"{folder}/" in words for folder in folders) and "python" not in words.split("\0")[0]
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


def _do(*command: str) -> None:
    done = subprocess.run(command, env={"PATH": _path()}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{' '.join(command)}: {done.stderr.strip()}")
