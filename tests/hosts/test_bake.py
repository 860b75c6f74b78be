"""What `packer/bake` does when it is called again, killed, or has no room."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.lab.workspace import Workspace
from tests.hosts.conftest import BAKE, VERSION, Baked


def test_a_bake_that_was_killed_left_nothing_half_made(killed: list[str], baked: Baked) -> None:
    assert killed == []
    there = ["host.json", "host.qcow2", "host.spdx.json", "packages.lock"]
    assert sorted(path.name for path in baked.folder.iterdir()) == there
    assert not Path(f"{baked.folder}.making").exists()


def test_the_same_content_is_found_and_not_baked_again(baked: Baked) -> None:
    again = subprocess.run([BAKE, str(baked.folder)], capture_output=True, text=True, check=True)
    assert baked.entry.items() <= (json.loads(again.stdout) | {"folder": baked.entry["folder"]}).items()
    assert again.stderr == ""


def test_the_release_names_it(baked: Baked, workspace: Workspace) -> None:
    manifest = json.loads((workspace.releases / "orders" / f"{VERSION}.json").read_text())
    assert manifest["content"]["host"] == baked.entry


def test_an_up_that_changes_nothing_bakes_nothing(baked: Baked) -> None:
    baked.factory.up("--expect-no-changes")


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk with less room than a bake needs."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_no_room_is_told_before_anything_is_made(full: Path) -> None:
    done = subprocess.run([BAKE, str(full / "host")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"host: {full}: 64 MiB free, 6144 MiB needed: make room\n"
    assert [path.name for path in full.iterdir()] == ["host.lock"]


def test_another_call_is_explained() -> None:
    done = subprocess.run([BAKE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: packer/bake <out>\n")
