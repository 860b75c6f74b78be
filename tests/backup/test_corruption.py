"""A stored backup that was damaged is never loaded: a thousand kinds of damage, and nothing was in any volume after."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.backup.engine import Refused, bound, wait_until
from tests.backup.site import Site

COUNT = 1000
FILES = {"notify": "files"}


@pytest.fixture(scope="module")
def site(sites: Callable[..., Site]) -> Site:
    """A stack of several packs, indexes and snapshots. What is damaged is objects: rows and messages add nothing."""
    made = sites("first", captures=FILES)
    made.load()
    for night in ("one", "two", "three"):
        made.add_files(night, 8, 4000)
        made.backup()
    return made


def test_a_thousand_corruptions_are_detected(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("STELE_TEST_SEED", secrets.randbelow(1 << 32)))
    mounts = [*site.runner_mounts(), bound(site.account.folder, "/bucket", writable=True)]
    command = ["python3", "/tests/corrupt.py", str(seed), str(COUNT)]
    said = site.run_once("corrupt", "backup", mounts, *command, user="0:0")
    with capsys.disabled():
        print("\n" + "\n".join(line for line in said.splitlines() if "Z " not in line))
    assert said.splitlines()[-1] == f"{COUNT} of {COUNT} detected"


def test_a_damaged_backup_is_refused_in_one_line_and_nothing_is_loaded(site: Site) -> None:
    name = site.backup()["name"]
    pack = max(packs(site), key=lambda each: each.stat().st_size)
    whole = pack.read_bytes()
    pack.write_bytes(random.Random(1).randbytes(len(whole)))
    again = site.restore("again", restore=name)
    with pytest.raises(
        Refused, match=rf"cannot start: backup {name}: 1 of \d+ objects are missing or damaged, such as"
    ):
        again.load()
    assert again.empty()
    pack.write_bytes(whole)
    again.engine.remove("again-runner")
    assert again.load()["from"] == name
    assert again.files() == site.files()


def packs(site: Site) -> set[Path]:
    """The packs of its repositories, in the store's own folder."""
    return {path for path in site.account.folder.rglob("data/*/*") if path.is_file()}


def damage(pack: Path) -> None:
    """In place: what the store keeps beside an object, its attributes, stays."""
    pack.write_bytes(bytes(pack.stat().st_size))


def test_what_rots_before_it_is_verified_is_no_part_of_a_verified_backup(site: Site) -> None:
    before = packs(site)
    site.add_files("four", 8, 4000)
    with ThreadPoolExecutor() as pool:
        night = pool.submit(site.runner.run, "python3", "/tests/paused.py")
        wait_until("its pause", lambda: night.done() or site.runner.shell("ls -A /data | grep -x .paused || true"))
        damage(min(packs(site) - before, key=lambda each: each.stat().st_size))  # the folders' own: restic caches it
        site.runner.shell("rm /data/.paused")
        name = night.result().split()[-1]
    again = site.restore("again", restore=name)
    assert again.load()["from"] == name
    assert again.files() == site.files()


def test_what_has_rotted_since_is_stored_anew_by_the_next_night(site: Site) -> None:
    before, known = packs(site), site.account.repositories(site.stack)
    site.add_files("five", 8, 4000)
    site.backup()
    damage(min(packs(site) - before, key=lambda each: each.stat().st_size))
    name = site.backup()["name"]
    assert len(site.account.repositories(site.stack)) == len(known) + 1
    again = site.restore("again", restore=name)
    assert again.load()["from"] == name
    assert again.files() == site.files()
