"""A full disk on either side costs the run that meets it: one line says so, and with room the next one is complete."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backup.account import opened
from tests.backup.engine import Engine, Refused
from tests.backup.conftest import started
from tests.backup.site import Site
from tests.storage.conftest import Gateway

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
def small_store(engine: Engine, references: dict[str, str], tmp_path: Path) -> Iterator[Gateway]:
    """A store whose folder is a file system of its own; only a privileged container may mount one."""
    folder = tmp_path / "store"
    folder.mkdir()
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(48 * 1024**2)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-I", "512", "-O", "ea_inode", disk], check=True)
    engine.as_root(references["backup"], f"mount -o loop {disk} {folder} && chown {os.getuid()} {folder}")
    gateway = started(folder)
    yield gateway
    gateway.kill()
    engine.as_root(references["backup"], f"umount {folder}")


def test_the_stores_disk_is_full(
    small_store: Gateway, engine: Engine, references: dict[str, str], tmp_path: Path
) -> None:
    account = opened(small_store, "small-store")
    site = Site(engine, references, account, tmp_path / "small", "again-small", "shop", captures={"notify": "files"})
    site.load()
    site.add_files("first", 10)
    good, content = site.backup()["name"], site.content()
    ballast = small_store.folder / "ballast"
    room = shutil.disk_usage(small_store.folder).free - 2_000_000
    ballast.write_bytes(bytes(room))
    site.runner.shell("head -c 6000000 /dev/urandom >/data/volumes/notify/large")
    with pytest.raises(Refused) as error:
        site.backup()
    assert "the store failed, perhaps its disk is full" in only(error)
    assert site.runner.run("/opt/stele/backup", "status").startswith("yellow: the last backup failed: ")
    again = site.restore("again", restore=good)
    again.load()
    assert again.content() == content
    again.remove()
    ballast.unlink()
    name, content = site.backup()["name"], site.content()
    again = site.restore("again", restore=name)
    again.load()
    assert again.content() == content
