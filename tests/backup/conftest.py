"""The parts of a stack with backups, made of the release's images; nothing here needs Swarm or Pulumi.

While writing tests the images of an engine that runs already save a build:
``STELE_TEST_IMAGES="backup=... broker=... database=... notify=..."``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backup.account import Account, opened
from tests.backup.engine import Engine
from tests.backup.site import Site
from tests.storage.conftest import Gateway, free_port


@pytest.fixture(scope="session")
def references(request: pytest.FixtureRequest) -> dict[str, str]:
    """By runtime, its image by digest."""
    if given := os.environ.get("STELE_TEST_IMAGES"):
        return dict(each.split("=", 1) for each in given.split())
    found: dict[str, str] = request.getfixturevalue("factory").outputs()["images"]
    return found


@pytest.fixture(scope="session")
def engine(references: dict[str, str]) -> Iterator[Engine]:
    """Named so that `make test-fast` leaves out what needs one."""
    made = Engine()
    for name in ("backup", "broker", "database", "notify"):
        made.client.images.pull(references[name])
    yield made
    made.close()


def started(folder: Path) -> Gateway:
    """A store with a passage for containers."""
    (folder / "passage").mkdir()
    (folder / "passage").chmod(0o755)
    gateway = Gateway(folder, free_port(), passage=str(folder / "passage" / "door.sock"))
    gateway.start()
    return gateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    made = started(tmp_path_factory.mktemp("store"))
    yield made
    made.kill()


@pytest.fixture(scope="module")
def account(gateway: Gateway, request: pytest.FixtureRequest) -> Account:
    """An account of this module's own."""
    return opened(gateway, request.module.__name__.rpartition(".")[2].replace("_", "-"))


@pytest.fixture(scope="module")
def sites(
    engine: Engine, references: dict[str, str], account: Account, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Site]]:
    """Make stacks in this module's account; they go with it."""
    folder = tmp_path_factory.mktemp("sites")
    made: list[Site] = []

    def make(name: str, **more: Any) -> Site:
        given = {"stack": "shop"} | more
        made.append(Site(engine, references, account, folder / name, name, **given))
        return made[-1]

    yield make
    for site in made:
        site.remove()


@pytest.fixture(autouse=True)
def no_leftovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stacks that a test restored go at its end, so that few containers run at a time."""
    yield
    engine = request.node.funcargs.get("engine")
    if engine is not None:
        engine.remove("again")
