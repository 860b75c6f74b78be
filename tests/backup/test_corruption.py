"""A stored backup that was damaged is never loaded: a thousand kinds of damage, and nothing was in any volume after."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable

import pytest

from tests.backup.engine import Refused, bound
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
    pack = max(
        (each for each in site.account.folder.rglob("data/*/*") if each.is_file()), key=lambda each: each.stat().st_size
    )
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
