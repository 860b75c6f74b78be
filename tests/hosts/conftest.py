"""A host image, baked by a factory; and one machine of it.

The numbered files tell its story, in the order of their names: it is started, looked at, started again with a larger
disk and beside a manager, joins its Swarm, serves, and leaves.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from testinfra.host import Host

from bench.lab.workspace import Stack, Workspace, wait_until
from components.host_image import content_and_folder

PACKER = Path(__file__).resolve().parents[2] / "packer"
BAKE = PACKER / "bake"
sys.path.append(str(PACKER))  # the checks are the build's own
from tests.hosts.file_server import FileServer  # noqa: E402
from tests.hosts.machine import LIMIT, Machine  # noqa: E402
from tests.hosts.swarm import MANAGER, Site, cluster  # noqa: E402

VERSION = "901.0.0"
NAME = "host-under-test"
KEPT = "/var/lib/stele/kept"
NO_SERVER = "Connection refused; it is tried again"
KILLED_AFTER = 10  # seconds: in the middle of installing packages


@dataclass(frozen=True)
class Baked:
    """A host image: the factory that baked it, its entry in the manifest, and the folder where it is."""

    factory: Stack
    entry: dict[str, Any]
    folder: Path

    @property
    def disk(self) -> Path:
        """The image."""
        return self.folder / "host.qcow2"

    @property
    def accelerator(self) -> str:
        """What it was built with, and is booted with."""
        return str(json.loads((self.folder / "host.json").read_text())["accelerator"])

    def locked(self) -> list[str]:
        """The packages that it is made of: name=version."""
        lines = (self.folder / "packages.lock").read_text().splitlines()
        return sorted(line.split()[0] for line in lines if not line.startswith("#"))


@pytest.fixture(scope="session")
def killed(workspace: Workspace) -> list[str]:
    """A bake is killed where the factory will bake. What goes on of it afterwards, or is there of an image."""
    folder = workspace.releases / content_and_folder()[1]
    process = subprocess.Popen([BAKE, str(folder)])
    time.sleep(KILLED_AFTER)
    assert process.poll() is None
    process.kill()
    process.wait()
    time.sleep(1)
    going = subprocess.run(["pgrep", "--full", f"{folder}.making"], capture_output=True, text=True).stdout.split()
    assert Path(f"{folder}.making").exists()
    return [*going, *([str(folder)] if folder.exists() else [])]


@pytest.fixture(scope="session")
def baked(killed: list[str], workspace: Workspace) -> Baked:
    """By `pulumi up` of a release that has a host image, after a bake that was killed."""
    factory = workspace.factory("h-release", version=VERSION, host="true")
    factory.up()
    entry = factory.outputs()["host"]
    return Baked(factory, entry, workspace.releases / entry["folder"])


@dataclass(frozen=True)
class Seen:
    """What is compared of a host that is started again: this boot's ID, its SSH key, the MiB of its state."""

    boot: str
    key: str
    size: int


def seen(host: Host) -> Seen:
    """It as it is now."""
    boot = host.check_output("cat /proc/sys/kernel/random/boot_id")
    key = host.check_output("cat /var/lib/ssh/ssh_host_ed25519_key.pub")
    return Seen(boot, key, int(host.check_output("df --block-size=1M --output=size /var | tail -1")))


@pytest.fixture(scope="session")
def machine(baked: Baked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The sealed image, started for the first time: on a disk of 6 GiB, told its name and no more."""
    folder = tmp_path_factory.mktemp("machine")
    with Machine(baked.disk, folder, {"stele.hostname": NAME}, accelerator=baked.accelerator) as machine:
        yield machine


@pytest.fixture
def host(machine: Machine) -> Host:
    """Testinfra's view of it, as long as it has been started once."""
    assert machine.starts == 1, "it was started again already: run these files in the order of their names"
    return machine.host


@pytest.fixture(scope="session")
def site(
    platform: dict[str, str], workspace: Workspace, baked: Baked, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A cluster of one manager."""
    folder, image = tmp_path_factory.mktemp("cluster"), baked.entry["folder"].rpartition("/")[2]
    with cluster(folder, platform["STELE_REGISTRY"], workspace, VERSION, image) as site:
        yield site


@pytest.fixture(scope="session")
def before(machine: Machine) -> Seen:
    """What was seen of it before it was started again."""
    assert machine.starts == 1
    machine.host.check_output(f"echo kept > {KEPT} && sync")
    return seen(machine.host)


@pytest.fixture(scope="session")
def files(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """The cluster's server of files, beside its manager. It is started when somebody has asked for it."""
    with FileServer(tmp_path_factory.mktemp("files"), site.engine.inside(), MANAGER) as server:
        yield server


@pytest.fixture(scope="session")
def again(machine: Machine, before: Seen, site: Site, files: FileServer) -> Iterator[Host]:
    """The machine, started again: with 8 GiB, beside the manager, told to join its Swarm and where its state is."""
    credentials = site.credentials(machine) | {"stele.state": files.source}
    with ThreadPoolExecutor(1) as pool:
        over = Event()
        served = pool.submit(_serve_when_asked, files, machine, over)
        try:
            machine.start_again("8G", site.tap, credentials)
        finally:
            over.set()
        served.result()
    yield machine.host
    machine.kill()


def _serve_when_asked(files: FileServer, machine: Machine, over: Event) -> None:
    asked = f"stele-state: {files.source}: {NO_SERVER}"
    wait_until(asked, lambda: over.is_set() or asked in machine.console.read_text(errors="replace"), LIMIT)
    if not over.is_set():
        files.start()
