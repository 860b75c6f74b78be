"""Plugins and an engine for the conformance tests."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .plugin import ROOT, Plugin

IMAGE = "stele-conformance:1"


@pytest.fixture(scope="session")
def command_plugin() -> Iterator[Plugin]:
    """The offline `command` plugin."""
    plugin = Plugin("command")
    yield plugin
    plugin.close()


@pytest.fixture(scope="session")
def replayed_docker() -> Iterator[Plugin]:
    """The offline `docker` plugin, pointed at an engine that is not there: checks and plans must not need one."""
    plugin = Plugin("docker", {"DOCKER_HOST": "unix:///nonexistent/docker.sock"})
    yield plugin
    plugin.close()


@pytest.fixture(scope="session")
def engine() -> str:
    """DOCKER_HOST of an engine in Swarm mode that holds the image IMAGE.

    STELE_TEST_ENGINE names one; otherwise the local platform is brought up, which changes nothing if it runs.
    """
    host = os.environ.get("STELE_TEST_ENGINE") or _platform_engine()
    os.environ["DOCKER_HOST"] = host
    if not docker(host, "images", "-q", IMAGE).strip():
        subprocess.run(
            ["docker", "import", "-", IMAGE], input=_root(), env={**os.environ, "DOCKER_HOST": host}, check=True
        )
    return host


def _platform_engine() -> str:
    local = ROOT / "platform" / "local"
    subprocess.run([str(local), "up"], check=True, stdout=subprocess.DEVNULL)
    shown = subprocess.run([str(local), "env"], check=True, capture_output=True, text=True).stdout
    for line in shown.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if name == "DOCKER_HOST":
            return shlex.split(value.rstrip(";"))[0]
    raise RuntimeError("`platform/local env` names no DOCKER_HOST")


def docker(host: str, *arguments: str) -> str:
    """The Docker client's answer."""
    environment = {**os.environ, "DOCKER_HOST": host}
    return subprocess.run(["docker", *arguments], env=environment, check=True, capture_output=True, text=True).stdout


def _root() -> bytes:
    """A root file system of Debian's static busybox."""
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    if not busybox.exists():
        raise RuntimeError("busybox is missing; install it with `apt-get install busybox-static`")
    applets = subprocess.run([str(busybox), "--list"], check=True, capture_output=True, text=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "data"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox")
        for applet in applets:
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
    return out.getvalue()


@pytest.fixture
def plugin(engine: str) -> Iterator[Plugin]:
    """The offline `docker` plugin on a real engine, one a test: a cancelled one accepts no more work."""
    plugin = Plugin("docker", {"DOCKER_HOST": engine})
    yield plugin
    plugin.close()


@pytest.fixture
def prefix(engine: str) -> Iterator[str]:
    """A name of this test's own; whatever carries it is removed afterwards."""
    name = f"conf-{uuid.uuid4().hex[:8]}"
    yield name
    for kind in ("service", "config", "secret", "network", "volume"):
        # Not `--filter name=`: engine 20.10 compares the names of Swarm networks as a whole.
        for item in docker(engine, kind, "ls", "--format", "{{.Name}}").split():
            if item.startswith(name):
                _remove(engine, kind, item)


def _remove(host: str, kind: str, item: str) -> None:
    """Remove, and try again for as long as the containers of a removed service are still going away."""
    waiting = threading.Event()
    for _ in range(100):
        done = subprocess.run(
            ["docker", kind, "rm", item], env={**os.environ, "DOCKER_HOST": host}, capture_output=True, text=True
        )
        if done.returncode == 0 or "no such" in done.stderr.lower() or "not found" in done.stderr.lower():
            return
        waiting.wait(0.3)
    raise RuntimeError(f"cannot remove the {kind} {item}: {done.stderr.strip()}")


def as_json(text: str) -> object:
    """Decoded."""
    return json.loads(text)
