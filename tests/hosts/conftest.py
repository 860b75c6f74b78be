"""A host image, baked by a factory, and booted once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from bench.lab.workspace import Stack, Workspace
from components.host_image import content_and_folder
from tests.hosts.machine import Machine

PACKER = Path(__file__).resolve().parents[2] / "packer"
BAKE = PACKER / "bake"
sys.path.append(str(PACKER))  # the checks are the build's own
VERSION = "901.0.0"
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


@pytest.fixture(scope="module")
def machine(baked: Baked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The sealed image, booted for the first time, on a disk of 6 GiB."""
    folder = tmp_path_factory.mktemp("machine")
    credentials = {"stele.hostname": "host-under-test"}
    with Machine(baked.disk, folder, credentials, accelerator=baked.accelerator) as machine:
        yield machine


@pytest.fixture(scope="module")
def host(machine: Machine) -> Host:
    """Testinfra's view of it."""
    return machine.host
