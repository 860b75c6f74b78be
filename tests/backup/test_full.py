"""A full disk on either side costs the run that meets it: one line says so, and with room the next one is complete."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.types import Mount
from store import command  # the platform is a folder of scripts: tests.storage.conftest puts it on the path

from tests.backup.account import opened
from tests.backup.engine import Box, Engine, Refused, bound
from tests.backup.site import Site
from tests.storage.conftest import ADMINISTRATOR, ROOT, Gateway, free_port

FULL = r"(No space left on device|no space left on device|the disk is full|disk full|[Nn]ot enough space).*"


def only(error: pytest.ExceptionInfo[Refused]) -> str:
    text = str(error.value)
    assert "Traceback" not in text
    return text.splitlines()[-1]


def test_the_runners_disk_is_full(sites: Callable[..., Site]) -> None:
    """What is small is gone with its container: everything happens in one."""
    captures = {"notify": "files", "database": "database"}
    site = sites("small", captures=captures, small={"data": 160})
    site.start()
    site.add_orders("first", 2000)
    site.add_files("first", 5)
    good, content = site.backup()["name"], site.content()
    site.runner.shell("head -c 400000000 /dev/zero >/data/ballast || true")
    with pytest.raises(Refused, match=FULL) as error:
        site.backup()
    assert only(error)
    assert site.runner.run("/opt/stele/backup", "status").startswith("yellow: ")
    again = site.restore("again", restore=good)
    again.start()
    assert again.content() == content
    site.runner.shell("rm /data/ballast")
    assert site.backup()["name"] > good


def test_the_disk_is_full_of_which_a_volume_is_loaded(sites: Callable[..., Site]) -> None:
    site = sites("large", captures={"notify": "files"})
    site.load()
    site.runner.shell("head -c 50000000 /dev/urandom >/data/volumes/notify/large")
    name = site.backup()["name"]
    again = site.restore("again", restore=name)
    again.engine.remove("again")
    again = Site(
        again.engine,
        again.images,
        again.account,
        again.folder,
        "again",
        again.stack,
        small={"notify": 30},
        captures=again.captures,
        settings=again.settings,
    )
    with pytest.raises(Refused, match=FULL) as error:
        again.load()
    assert only(error)
    assert again.empty()


@pytest.fixture
def small_store(engine: Engine, references: dict[str, str], tmp_path: Path) -> Iterator[tuple[Gateway, Box]]:
    """A store with a file system of its own, which is a container's; its door is here as ever."""
    gateway = Gateway(tmp_path / "store", free_port(), passage=str(tmp_path / "store/passage/door.sock"))
    (gateway.folder / "passage").mkdir(parents=True)
    (gateway.folder / "passage").chmod(0o755)
    user = os.getuid()
    argv = list(command("/versitygw", Path("/store"), str(gateway.folder / "store.sock"), Path("/tmp/access.log")))
    # Attributes are files here: not every kernel keeps them in memory.
    where = argv.index("posix") + 1
    argv[where:where] = ["--sidecar", "/store/attributes"]
    made = "mkdir -p /store/objects /store/versions /store/accounts /store/attributes"
    box = engine.start(
        "shelf",
        references["backup"],
        network=engine.network("shelf"),
        mounts=[
            Mount(target="/store", source=engine.volume("shelf", 48, user), type="volume"),
            bound(ROOT / ".stele/bin/versitygw", "/versitygw"),
            bound(gateway.folder, str(gateway.folder), writable=True),
        ],
        entrypoint=["bash", "-c", f"{made} && exec {shlex.join(argv)}"],
        environment={"ROOT_ACCESS_KEY_ID": ADMINISTRATOR.access, "ROOT_SECRET_ACCESS_KEY": ADMINISTRATOR.secret},
        user=str(user),
    )
    gateway.start_door()
    yield gateway, box
    gateway.kill()
    engine.remove("shelf")
    engine.remove("shelved")


def test_the_stores_disk_is_full(
    small_store: tuple[Gateway, Box], engine: Engine, references: dict[str, str], tmp_path: Path
) -> None:
    gateway, disk = small_store
    account = opened(gateway, "small-store")
    site = Site(engine, references, account, tmp_path / "small", "shelved", "shop", captures={"notify": "files"})
    site.load()
    site.add_files("first", 10)
    good, content = site.backup()["name"], site.content()
    # What is left is less than the night will need.
    disk.shell("head -c $(($(df --output=avail -B1 /store | tail -n 1) - 2000000)) /dev/zero >/store/ballast")
    site.runner.shell("head -c 6000000 /dev/urandom >/data/volumes/notify/large")
    with pytest.raises(Refused) as error:
        site.backup()
    assert "the store failed, perhaps its disk is full" in only(error)
    assert site.runner.run("/opt/stele/backup", "status").startswith("yellow: the last backup failed: ")
    again = site.restore("again", restore=good)
    again.load()
    assert again.content() == content
    again.remove()
    disk.shell("rm /store/ballast")
    name, content = site.backup()["name"], site.content()
    again = site.restore("again", restore=name)
    again.load()
    assert again.content() == content
    assert len(account.repositories()) == 1  # what was stored before the disk was full is not stored again
