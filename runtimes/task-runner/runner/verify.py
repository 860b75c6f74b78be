"""Proves that a backup can be restored, by restoring it where nobody is served."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from . import database
from .capture import messages
from .files import empty, is_full, read, sha256
from .problem import Problem
from .repository import Backups, Damaged
from .settings import DATA, Settings
from .store import Failed

SCRATCH = DATA / "verifying"


def verify(backups: Backups, record: dict[str, Any], settings: Settings) -> None:
    """Restore a backup into a scratch database and folder and compare it with what was noted.

    Raises Damaged when its repository does not give it back: the next one that is added to it would not be whole
    either. Raises Problem for anything else.
    """
    folder = empty(SCRATCH)
    try:
        tree = folder / "tree"
        backups.fetch_new(record, folder / "repository")
        try:
            backups.unpack(record, folder / "repository", tree)
            contents = checked(tree, record)
        except Problem as problem:
            if is_full(folder) or _is_of_this_machine(problem):
                raise
            raise Damaged(str(problem)) from None
        shutil.rmtree(folder / "repository")
        if (volume := settings.volume("database")) is not None:
            dump = tree / "capture" / volume.name / "database.sql"
            with database.cluster(folder / "postgres", folder / "sockets", settings, durable=False) as scratch:
                scratch.load(dump)
                same("rows", contents["rows"], scratch.rows())
        if (volume := settings.volume("messages")) is not None:
            same("messages", contents["messages"], messages(tree / "capture" / volume.name / "messages.jsonl"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_of_this_machine(problem: Problem) -> bool:
    """Whether it says that there was no room (inodes and quotas run out too), or that somebody killed a program."""
    killed = isinstance(problem, Failed) and problem.code < 0
    return killed or any(word in str(problem) for word in ("no space left", "quota exceeded", "cannot allocate memory"))


def checked(tree: Path, record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The contents of a restored tree, after every file under ``prefix`` is what was noted. Raises Problem."""
    noted = tree / "capture" / "contents.json"
    if not noted.is_file() or sha256(noted) != record["contents"]:
        raise Problem(f"backup {record['name']}: its list of contents is missing or damaged; choose another one")
    contents = read(noted)
    for name, entry in contents["files"].items():
        if name.startswith(prefix):
            file = tree / name
            if not file.is_file() or sha256(file) != entry["sha256"]:
                raise Problem(f"backup {record['name']}: {name} is missing or damaged; choose another one")
    return contents


def same(what: str, noted: dict[str, int], found: dict[str, int]) -> None:
    if noted != found:
        differ = sorted(key for key in noted.keys() | found.keys() if noted.get(key) != found.get(key))
        raise Problem(f"{what}: {differ[0]} had {noted.get(differ[0])}, restored are {found.get(differ[0])}")
