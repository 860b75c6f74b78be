"""The real engine, the real CLI, no mocks. One laboratory for the whole session; each test begins on release BASE.

Everything is brought up from nothing when it is not there, and what the tests made is removed whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.lab import edits
from bench.lab.door import Door
from bench.lab.loading import Load
from bench.lab.swarm import Swarm
from bench.lab.workspace import Stack, Workspace
from tests.conftest import BASE

PORT = 18080
FLOW, TEMPLATE, RECIPE = "900.1.0", "900.2.0", "900.3.0"
WINDOW = 60  # seconds until a generation is given up: bad ones are waited for, and good ones need a third of it


@dataclass
class Product:
    """The sample product's environment and the means to look at it."""

    stack: Stack
    swarm: Swarm
    door: Door
    folder: Path

    def load(self, rate: float = 40) -> Load:
        """Load on the front door, for a ``with`` statement."""
        return Load(f"http://127.0.0.1:{PORT}", self.folder, rate=rate)


@pytest.fixture(scope="session")
def releases(factory: Stack) -> dict[str, dict[str, str]]:
    """Images by runtime of releases BASE, FLOW (one flow changed), TEMPLATE (bumped) and RECIPE (node's changed)."""
    workspace = factory.workspace
    found = {BASE: factory.outputs()["images"]}
    changes: dict[str, Callable[[], None]] = {
        FLOW: lambda: edits.change_flow(workspace, "ledger"),
        TEMPLATE: lambda: edits.bump_template(workspace),
        RECIPE: lambda: edits.bump_recipe(workspace, "node"),
    }
    for version, edit in changes.items():
        edit()
        factory.up(version=version)
        found[version] = factory.outputs()["images"]
        workspace.reset()
    return found


@pytest.fixture(scope="session")
def deployed(releases: dict[str, dict[str, str]], workspace: Workspace) -> Iterator[Product]:
    """The sample product's whole environment."""
    stack = workspace.environment("t-env", version=BASE, port=PORT, window=WINDOW)
    stack.up()
    with Swarm(stack.name) as swarm:
        yield Product(stack, swarm, Door(f"http://127.0.0.1:{PORT}"), workspace.root)


@pytest.fixture
def product(deployed: Product) -> Product:
    """The environment as every test may expect it: release BASE with the default settings, nothing pending."""
    deployed.stack.workspace.reset()
    deployed.stack.configure(version=BASE, port=PORT, window=WINDOW, sizing=None, runtimes=None, dns=None)
    if deployed.stack.file.read_text() != deployed.stack.applied:
        deployed.stack.up()
    return deployed
