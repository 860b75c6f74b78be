"""Machines for the tests of the local platform. Each is a pair of namespaces, so the dev platform is not disturbed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import LOCAL, Checkout, Machine

# The platform is a folder of scripts, not a package (it would hide the standard library's `platform`).
sys.path.append(str(LOCAL.parent))


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.getuid() != 0:
        pytest.exit("tests/platform start engines in namespaces of their own: run them as root", 1)


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


@pytest.fixture
def checkout(machine: Machine, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout on a machine without an engine; whatever it started is stopped afterwards."""
    made = Checkout(machine, tmp_path / "checkout")
    yield made
    made.local("stop", "--delete-data")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A platform that is up, for tests that leave it up."""
    machine = Machine()
    made = Checkout(machine, tmp_path_factory.mktemp("shared") / "checkout")
    made.up()
    yield made
    made.local("stop", "--delete-data")
    machine.close()
