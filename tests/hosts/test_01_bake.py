"""What `packer/bake` does when it is called again, killed, or has no room; and a host that has none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.lab.workspace import Workspace
from tests.hosts.conftest import BAKE, VERSION, Baked
from tests.hosts.machine import Machine


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
    (full / "mended.lock").touch()
    (full / "mended.making").mkdir()
    (full / "mended.making/base.raw").write_bytes(bytes(32 << 20))  # of a bake that was killed: that is room
    done = subprocess.run([BAKE, str(full / "host")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"host: {full}: 64 MiB free, 6144 MiB needed: make room\n"
    assert sorted(path.name for path in full.iterdir()) == ["host.lock", "mended.lock"]


def test_a_bake_that_fails_leaves_nothing(tmp_path: Path) -> None:
    programs, images = tmp_path / "bin", tmp_path / "images"
    programs.mkdir()
    (programs / "setpriv").write_text("#!/bin/sh\nexit 1\n")  # what every program that takes long is called with
    (programs / "setpriv").chmod(0o755)
    env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run([BAKE, str(images / "host")], capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "host: the root was not made, see above"
    assert [path.name for path in images.iterdir()] == ["host.lock"]


def test_no_memory_for_the_guest_is_told_before_anything_is_made(tmp_path: Path) -> None:
    little = tmp_path / "meminfo"
    little.write_text("MemTotal: 2097152 kB\nMemFree: 100000 kB\nMemAvailable: 307200 kB\n")
    shown = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /proc/meminfo && exec "$@"', str(little)]
    done = subprocess.run([*shown, BAKE, str(tmp_path / "host")], capture_output=True, text=True)
    assert done.returncode == 1
    wanted = "300 MiB available, 1280 MiB needed by the guest: end what takes it, or add some"
    assert done.stderr == f"host: memory: {wanted}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host.lock", "meminfo"]


def test_an_image_that_is_not_what_it_was_is_told_and_left_alone(baked: Baked, tmp_path: Path) -> None:
    for name in ("host.json", "host.spdx.json", "packages.lock"):
        shutil.copy(baked.folder / name, tmp_path)
    (tmp_path / "host.qcow2").write_text("damaged")
    done = subprocess.run([BAKE, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    found = hashlib.sha256(b"damaged").hexdigest()
    first, _, mend = done.stderr.partition(": bring it back from a copy")
    assert first == f"host: {tmp_path}/host.qcow2 is sha256:{found}, its host.json says {baked.entry['disk']}"
    assert mend.count("\n") == 1
    assert (tmp_path / "host.qcow2").read_text() == "damaged"


def test_a_disk_that_is_too_small_is_told_and_the_host_is_off(baked: Baked, tmp_path: Path) -> None:
    machine = Machine(baked.disk, tmp_path / "machine", accelerator=baked.accelerator, size="3G")
    with pytest.raises(AssertionError, match="QEMU ended with 0"):
        machine.__enter__()
    said = [line for line in machine.console.read_text(errors="replace").splitlines() if line.startswith("stele: ")]
    needed = "at least 3600 MiB needed for root and state: enlarge it, and start this host again"
    assert said == [f"stele: disk vda: 3072 MiB, {needed}"]


def test_another_call_is_explained() -> None:
    done = subprocess.run([BAKE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: packer/bake <out>\n")
