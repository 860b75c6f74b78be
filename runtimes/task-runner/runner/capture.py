"""What is backed up, made consistent: the order below is why nothing that was acknowledged is lost.

Messages are taken from the broker before the database is, and the database before files: what moves on meanwhile is in
both, and every consumer stores a repeated message once. What arrives after the first capture is the next backup's.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from . import database
from .files import empty, sha256, walk, write
from .log import log
from .problem import Problem
from .settings import DATA, Settings, Volume

ORDER = ("messages", "database", "files")
PATIENCE = 120  # seconds for the broker to answer
CAPTURED = DATA / "capture"


class Changed(Problem):
    """A file changed while it was read."""


def capture(settings: Settings, name: str, more: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Capture everything; returns what is in it and the paths to store, relative to DATA.

    ``more`` are documents that go with it, by file name.
    """
    empty(CAPTURED)
    contents: dict[str, Any] = {"files": {}, "rows": {}, "messages": {}, "schema": None}
    for kind in ORDER:
        for volume in settings.volumes:
            if volume.capture == kind:
                log(f"capturing {volume.name}")
                _KINDS[kind](settings, volume, name, contents)
    for file, document in more.items():
        write(CAPTURED / file, document)
    for path in sorted(CAPTURED.rglob("*")):
        if path.is_file():
            _note(contents, path)
    write(CAPTURED / "contents.json", contents)
    return contents, ["capture/contents.json", *contents["files"]]


def _note(contents: dict[str, Any], path: Path) -> None:
    before = path.stat()
    digest = sha256(path)
    noted = {"size": before.st_size, "mtime": before.st_mtime_ns, "sha256": digest}
    contents["files"][str(path.relative_to(DATA))] = noted


def unchanged(contents: dict[str, Any]) -> None:
    """Raises Changed when a file was written after it was read, so that what is stored may not be what was noted."""
    for name, entry in contents["files"].items():
        try:
            found = (DATA / name).stat()
        except FileNotFoundError:
            raise Changed(f"{name} went while it was backed up") from None
        if (found.st_size, found.st_mtime_ns) != (entry["size"], entry["mtime"]):
            raise Changed(f"{name} changed while it was backed up")


def _database(settings: Settings, volume: Volume, _name: str, contents: dict[str, Any]) -> None:
    folder = empty(CAPTURED / volume.name)
    live = database.running(settings, volume.name)
    contents["rows"] = live.dump(folder / "database.sql")
    contents["schema"] = live.schema()


def _messages(_settings: Settings, volume: Volume, name: str, contents: dict[str, Any]) -> None:
    """The broker writes its queues into its own volume when asked to by a note there.

    Its answer bears the name of the request: what it collected for a backup that was killed is not this one's.
    """
    folder = empty(CAPTURED / volume.name)
    answer, request = volume.notes / f"captured-{name}.jsonl", volume.notes / "capture"
    answer.unlink(missing_ok=True)  # of one that was killed within this very second
    write(request, {"name": name})
    deadline = time.monotonic() + PATIENCE
    try:
        # Only now: until then the broker may still have answered a request of before.
        for stale in set(volume.notes.glob("captured*.jsonl")) - {answer}:
            stale.unlink(missing_ok=True)
        while not answer.exists():
            if time.monotonic() > deadline:
                raise Problem(f"{volume.name} does not hand over its messages within {PATIENCE} s; is it healthy?")
            time.sleep(0.1)
    finally:
        request.unlink(missing_ok=True)
    shutil.copyfile(answer, folder / "messages.jsonl")
    answer.unlink()
    contents["messages"] = messages(folder / "messages.jsonl")


def messages(path: Path) -> dict[str, int]:
    """The number of messages of every queue in a capture."""
    counts: dict[str, int] = {}
    with path.open() as lines:
        for line in lines:
            queue = json.loads(line)["queue"]
            counts[queue] = counts.get(queue, 0) + 1
    return counts


def _files(_settings: Settings, volume: Volume, _name: str, contents: dict[str, Any]) -> None:
    for path in walk(volume.path):
        try:
            _note(contents, path)
        except FileNotFoundError:
            continue  # it went before it was read: it belongs to no backup


_KINDS = {"messages": _messages, "database": _database, "files": _files}
