"""What `packer/bake` does when it is called again, killed, or has no room."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.conftest import BAKE, BAKED


def test_the_same_content_is_found_and_not_baked_again(baked: dict[str, Any]) -> None:
    again = subprocess.run([BAKE, str(BAKED)], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == baked
    assert again.stderr == ""


def test_a_bake_that_was_killed_left_nothing_half_made(killed: list[str], baked: dict[str, Any]) -> None:
    assert killed == []
    assert sorted(path.name for path in BAKED.iterdir()) == [
        "host.json",
        "host.qcow2",
        "host.spdx.json",
        "packages.lock",
    ]


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
