"""A host image, baked as a factory bakes it, and booted once."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.hosts.machine import Machine

CHECKOUT = Path(__file__).resolve().parents[2]
BAKE = CHECKOUT / "packer" / "bake"
BAKED = CHECKOUT / ".stele" / "tests" / "host"
KILLED_AFTER = 10  # seconds: in the middle of installing packages


@pytest.fixture(scope="session")
def killed() -> list[str]:
    """A bake is killed, unless there is an image already; what goes on of it or is there of its image afterwards."""
    if (BAKED / "host.json").exists():
        return []
    process = subprocess.Popen([BAKE, str(BAKED)])
    time.sleep(KILLED_AFTER)
    assert process.poll() is None
    process.kill()
    process.wait()
    time.sleep(1)
    going = subprocess.run(["pgrep", "--full", f"{BAKED}.making"], capture_output=True, text=True).stdout.split()
    return [*going, *([str(BAKED)] if BAKED.exists() else [])]


@pytest.fixture(scope="session")
def baked(killed: list[str]) -> dict[str, Any]:
    """What `packer/bake` says of the image that it made in BAKED."""
    done = subprocess.run([BAKE, str(BAKED)], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def machine(baked: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The sealed image, booted for the first time, on a disk of 6 GiB."""
    credentials = {"stele.hostname": "host-under-test"}
    folder = tmp_path_factory.mktemp("machine")
    with Machine(BAKED / "host.qcow2", folder, credentials, accelerator=baked["accelerator"]) as machine:
        yield machine


@pytest.fixture(scope="session")
def host(machine: Machine) -> Host:
    """Testinfra's view of it."""
    return machine.host
