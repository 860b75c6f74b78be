"""Files: hashes, durable writes, and what counts as empty."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

# Not content: notes, locks, what the file system makes itself, and what a killed writer may have left.
OURS = {".stele", ".stele-lock", "lost+found"}
LITTLE = 16 * 1024**2  # bytes


def sha256(path: Path) -> str:
    """The hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content(folder: Path) -> list[Path]:
    """What is in a volume, apart from notes and locks. An empty list: it is empty."""
    return [path for path in sorted(folder.iterdir()) if path.name not in OURS]


def is_content(path: Path, digest: str) -> bool:
    """Whether a file is there and has that SHA-256."""
    return path.is_file() and sha256(path) == digest


def size(folder: Path) -> int:
    """Bytes in all files below a folder; in those that go meanwhile, none."""
    found = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found += path.lstat().st_size
    return found


def is_full(folder: Path) -> bool:
    """Whether there is hardly any room on its disk: what failed there may have failed for that."""
    return shutil.disk_usage(folder).free < LITTLE


def walk(folder: Path) -> Iterator[Path]:
    """Every regular file of a volume's content, without unfinished ones (``*.tmp``) and what goes meanwhile.

    Raises OSError for a folder that cannot be read: what is in it must not be missing without a word.
    """
    for top in content(folder):
        if top.is_dir() and not top.is_symlink():
            inside: Iterator[Path] = (
                Path(here, name) for here, _, names in os.walk(top, onerror=_unless_gone) for name in names
            )
        else:
            inside = iter([top])
        yield from (path for path in inside if path.is_file() and not path.is_symlink() and path.suffix != ".tmp")


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def write(path: Path, value: Any) -> None:
    """A JSON file, whole or not at all, on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    synchronise(path.parent)


def read(path: Path) -> dict[str, Any]:
    """A JSON file's object; an empty one when it is absent or not readable."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def synchronise(folder: Path) -> None:
    """A folder's names are on the disk when this returns."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def empty(folder: Path) -> Path:
    """The folder, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def locked(file: IO[str]) -> bool:
    """Whether this process has the lock of an open file now; until it closes that, or ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(file: IO[str]) -> None:
    """Wait until this process has the lock of an open file.

    Asked anew every second: whoever waits for a lock on NFS asks its server after ever longer pauses, up to 30 s.
    """
    while not locked(file):
        time.sleep(1)
