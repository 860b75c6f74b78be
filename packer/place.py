"""Where an image goes: a folder that is there whole or not at all, whoever is killed, and when."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from disk import BakeError, do

FILES = {
    "disk": "host.qcow2",
    "sbom": "host.spdx.json",
    "lock": "packages.lock",
}  # what is kept, by its key in host.json
AGAIN = "bring it back from a copy or, when no release names it, bake it again with STELE_REBUILD=1"
SPACE = 6 << 30  # bytes that a bake needs for a while
MEMORY = 1280  # MiB: the guest's 1024 (variables.pkr.hcl) and QEMU's own


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """For one bake of ``out`` at a time: of two at once the second finds what the first has baked."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_name(f"{out.name}.lock").open("w") as lock:  # it stays: others may wait for it
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def there(out: Path) -> dict[str, object] | None:
    """What was baked already. Raises BakeError when a file of it is not what it was: a release may name it."""
    try:
        baked: dict[str, object] = json.loads((out / "host.json").read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        raise BakeError(f"{out}/host.json is damaged: {AGAIN}") from None
    for key, name in FILES.items():
        found = file_digest(out / name) if (out / name).is_file() else "missing"
        if found != baked.get(key):
            raise BakeError(f"{out}/{name} is {found}, its host.json says {baked.get(key)}: {AGAIN}")
    return baked


@contextmanager
def making(out: Path) -> Iterator[Path]:
    """A folder to bake in, under ``out``'s lock: it becomes ``out`` or, when that fails, is removed.

    Raises BakeError where there is no room, besides what those have left who were killed.
    """
    clear(out)
    room(out.parent)
    work = out.with_name(f"{out.name}.making")
    work.mkdir()
    try:
        work.chmod(0o755)  # apt's own user enters it
        yield work
        do("sync", "--file-system", str(work))
        aside = out.with_name(f"{out.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        if out.exists():
            out.rename(aside)
        work.rename(out)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def clear(out: Path) -> None:
    """Remove what killed bakes have left beside ``out``, whose lock is held: its own, and any whose lock nobody holds.

    Not only its own: whoever mends what stopped a bake bakes another content, in another folder.
    """
    for left in (*out.parent.glob("*.making"), *out.parent.glob("*.old")):
        whole = left.with_suffix("")
        if left.suffix == ".old" and not (whole / "host.json").exists():
            continue  # the only one of that image, or nobody's
        with suppress(FileNotFoundError, BlockingIOError), left.with_suffix(".lock").open("r+") as lock:
            if whole != out:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


def room(folder: Path) -> None:
    """Raises BakeError where there is too little room for the disks, or memory for the guest."""
    free = shutil.disk_usage(folder).free
    if free < SPACE:
        raise BakeError(f"{folder}: {free >> 20} MiB free, {SPACE >> 20} MiB needed: make room")
    memory = int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) >> 10
    if memory < MEMORY:
        raise BakeError(
            f"memory: {memory} MiB available, {MEMORY} MiB needed by the guest: end what takes it, or add some"
        )


def file_digest(path: Path) -> str:
    """``sha256:<hex>`` of a file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
