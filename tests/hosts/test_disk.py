"""The disk of a host is made of its root; or it says why not."""

from __future__ import annotations

import os
from pathlib import Path

import disk
import pytest

SIZE = 32  # MiB


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root that is empty as yet."""
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def test_a_root_that_fits_has_its_files_on_the_disk(tree: Path, tmp_path: Path) -> None:
    (tree / "file").write_bytes(os.urandom(SIZE // 4 * disk.MIB))
    out = tmp_path / "disk.raw"
    disk.base_disk(tree, out, "1", SIZE)
    assert out.stat().st_size == (disk.ROOT_AT + SIZE + disk.AFTER) * disk.MIB
    listed = disk.do("debugfs", "-R", "ls -p /", f"{out}?offset={disk.ROOT_AT * disk.MIB}")
    assert f"/file/{SIZE // 4 * disk.MIB}/" in listed


def test_a_root_that_does_not_fit_is_told(tree: Path, tmp_path: Path) -> None:
    (tree / "file").write_bytes(os.urandom(SIZE * disk.MIB))
    with pytest.raises(disk.BakeError) as told:
        disk.base_disk(tree, tmp_path / "disk.raw", "1", SIZE)
    full = SIZE + 1  # MiB: the folder, too
    mend = "take something out of packer/packages, or raise ROOT_SIZE in packer/disk.py"
    assert str(told.value) == f"the root: {full} MiB of files do not fit into its {SIZE} MiB: {mend}"
