"""What the tests of images and of whole environments share: the platform, and one release of the sample product.

Everything is brought up from nothing when it is not there, and what the tests made is removed whatever happens.
"""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from bench.lab import ground
from bench.lab.workspace import Stack, Workspace

BASE = "900.0.0"

# Nothing is timed in a test, least of all beside other lanes.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses the platform or an engine needs one: `make test-fast` leaves it out."""
    for item in items:
        if {"platform", "engine"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def platform() -> dict[str, str]:
    """The toolchain and the local platform, brought up if they are not."""
    return ground.environment()


@pytest.fixture(scope="session")
def workspace(platform: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A copy of the project in a folder of its own."""
    workspace = Workspace(tmp_path_factory.mktemp("lab"))
    yield workspace
    workspace.close()


@pytest.fixture(scope="session")
def factory(workspace: Workspace) -> Stack:
    """The factory stack, with release BASE published."""
    stack = workspace.factory("t-release", version=BASE)
    stack.up()
    return stack
