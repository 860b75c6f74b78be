"""The one process: what is empty is loaded, what is there is kept, and the data is brought to the release's schema.

A new installation, an update, a move and disaster recovery go through the same STEPS. They differ only in what is
found: volumes that are empty or not, and for each of those a backup in the account or only the release's vanilla one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import database
from .capture import messages
from .files import content, empty, locked, read, synchronise, write
from .log import log
from .night import HURRY, newest_incarnation, stamp
from .problem import Problem
from .repository import Backups
from .settings import DATA, Settings, Volume
from .store import Store
from .verify import checked, same

STEPS = ("look", "find", "fetch", "check", "place", "migrate", "open")
SCRATCH = DATA / "loading"  # never the one of a predecessor that is still verifying a backup
LOADED, LOADING = "loaded", "loading"
PATIENCE = 60  # seconds for a database that somebody else serves


class Load:
    """One pass over the steps. ``report`` says what was done, for people, tests and the record in the account."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.storage)
        self.report: dict[str, Any] = {"stack": settings.stack, "began": stamp(datetime.now(UTC)), "steps": []}
        self.wanting: list[Volume] = []
        self.new: list[Volume] = []
        self.record: dict[str, Any] | None = None
        self.vanilla: dict[str, Any] | None = None
        self.tree, self.vanilla_tree = SCRATCH / "tree", SCRATCH / "vanilla"

    def run(self) -> dict[str, Any]:
        """All steps, in order. Raises Problem; then nothing is open, and the next run begins again."""
        began = time.monotonic()
        for step in STEPS:
            log(f"step {step}")
            getattr(self, f"_{step}")()
            self.report["steps"].append(step)
        shutil.rmtree(SCRATCH, ignore_errors=True)
        self.report["seconds"] = round(time.monotonic() - began, 3)
        write(DATA / "load.json", self.report)
        return self.report

    def _look(self) -> None:
        """Which volumes are empty, or were being loaded when a runner was killed: those begin again."""
        for volume in self.settings.volumes:
            if (volume.notes / LOADED).exists():
                continue  # it is in use, be it empty
            if (volume.notes / LOADING).exists():
                log(f"{volume.name}: half loaded; its load begins again")
                _clear(volume)
            if content(volume.path):
                write(volume.notes / LOADED, {"from": "what was there"})
            else:
                self.wanting.append(volume)
        self.report["empty"] = [volume.name for volume in self.wanting]

    def _find(self) -> None:
        """The newest backup, the one that was asked for, or the vanilla one. A wrong name is told in any case."""
        if not self.wanting and self.settings.restore == "newest":
            self.report["from"] = None  # a stack that runs needs no store to go on, or back
            return
        if self.settings.restore != "vanilla":
            self.record = Backups(self.store, self.settings.source).choose(self.settings.restore)
            if self.record is None and self.settings.source != self.settings.stack:  # it was asked for
                raise Problem(
                    f"restore: stack {self.settings.source} has no verified backup in this account; name another"
                )
        if not self.wanting:
            self.report["from"] = None
            return
        self.new = self._new()
        if self.new == self.wanting:
            self.record = None
        if self.new:
            self.report["vanilla"] = self._find_vanilla()
        if self.record is None:
            self.report |= {"from": self.report["vanilla"], "window": None}
            return
        self.report["from"] = self.record["name"]
        lost = None if self.record["fenced"] else [self.record["started"], self.report["began"]]
        self.report["window"] = lost
        if lost:
            log(f"not fenced: what was acknowledged from {lost[0]} on is lost, up to when the old stack stopped")

    def _new(self) -> list[Volume]:
        """The empty volumes that the backup does not know: the release has brought them, so they begin with vanilla."""
        if self.record is None:
            return self.wanting
        known = self.record.get("volumes")  # absent from records that were made before
        return [volume for volume in self.wanting if isinstance(known, list) and volume.name not in known]

    def _find_vanilla(self) -> str:
        """The release's vanilla backup, by the stack's newest incarnation. Raises Problem when that is one of another
        release: the `up` that wanted this one did not reach the store."""
        incarnation = newest_incarnation(self.store, self.settings.stack)
        self.vanilla = incarnation.get("vanilla")
        if (self.vanilla or {}).get("digest") != self.settings.vanilla:
            raise Problem(
                f"vanilla backup {self.settings.vanilla}: is not in the account yet; pulumi up copies it there"
            )
        return f"vanilla {incarnation.get('version', '')}".strip()

    def _fetch(self) -> None:
        """What will be loaded, from the account to this disk."""
        if not self.wanting:
            return
        empty(SCRATCH)
        if self.record is not None:
            Backups(self.store, self.settings.source).fetch(self.record, SCRATCH / "repository")
        if self.vanilla is not None:
            prefix, _, name = str(self.vanilla["key"]).rpartition("/")
            if (first := self.store.oldest(prefix).get(name)) is None:
                raise Problem(f"{self.vanilla['key']}: is not in the account; pulumi up copies it there")
            (SCRATCH / "vanilla.tar").write_bytes(self.store.read_version(prefix, first))

    def _check(self) -> None:
        """Everything is what was stored, before any volume is touched."""
        if not self.wanting:
            return
        if self.record is not None:
            backups = Backups(self.store, self.settings.source)
            backups.unpack(self.record, SCRATCH / "repository", self.tree, "capture")
            self.contents = checked(self.tree, self.record, "capture/")
        if self.vanilla is not None:
            tar = SCRATCH / "vanilla.tar"
            if "sha256:" + hashlib.sha256(tar.read_bytes()).hexdigest() != self.vanilla["digest"]:
                raise Problem(
                    f"{self.vanilla['key']}: is not the {self.report['vanilla']} that was published; publish another"
                )
            with tarfile.open(tar) as archive:
                _extract(archive, self.vanilla_tree)

    def _place(self) -> None:
        """Every empty volume gets its content: beside first, then in place, so that a kill leaves none half loaded."""
        self.placed: list[Volume] = []
        for volume in self.wanting:
            write(volume.notes / LOADING, {"from": self._origin(volume)})
            log(f"loading {volume.name} from {self._origin(volume)}")
            {"database": self._place_database, "messages": self._place_messages, "files": self._place_files}[
                volume.capture
            ](volume)
            self.placed.append(volume)

    def _migrate(self) -> None:
        """The data is brought to the release's schema: where it was loaded, or in the database that serves."""
        volume = self.settings.volume("database")
        if volume is None:
            return
        with self._database(volume) as found:
            if found.schema() < self.settings.schema["needs"]:
                HURRY.touch()  # a night that dumps the tables would hold them for long
            self.report["schema"] = database.migrate(found, self.settings.schema)

    def _open(self) -> None:
        """From here on the runtimes may use their volumes."""
        volume = self.settings.volume("database")
        if self.placed:
            os.sync()  # before anything says that it is there
        if volume in self.placed and volume is not None:
            (volume.path / "postgres.new").replace(volume.path / "postgres")
            synchronise(volume.path)
        for volume in self.placed:
            write(volume.notes / LOADED, {"from": self._origin(volume)})
            (volume.notes / LOADING).unlink(missing_ok=True)

    def _origin(self, volume: Volume) -> str:
        return str(self.report["vanilla" if volume in self.new else "from"])

    def _captured(self, volume: Volume) -> Path:
        """The folder with what was captured of a volume, or is vanilla."""
        return (self.vanilla_tree if volume in self.new else self.tree / "capture") / volume.name

    # Kinds of volumes

    def _place_database(self, volume: Volume) -> None:
        """A new cluster with the dump in it, which :meth:`_open` moves into place."""
        dump = self._captured(volume) / "database.sql"
        with database.cluster(volume.path / "postgres.new", SCRATCH / "sockets", self.settings, durable=False) as made:
            if dump.exists():
                made.load(dump)
            if volume not in self.new:
                same("rows", self.contents["rows"], made.rows())

    def _place_messages(self, volume: Volume) -> None:
        """A note for the broker, which takes the messages in when it makes its journal."""
        captured = self._captured(volume) / "messages.jsonl"
        if captured.exists():
            if volume not in self.new:
                same("messages", self.contents["messages"], messages(captured))
            shutil.copyfile(captured, volume.notes / "messages.jsonl")

    def _place_files(self, volume: Volume) -> None:
        """Straight into the volume, proven there, and only then moved to where the runtime looks."""
        incoming = empty(volume.notes / "incoming")
        top = incoming / "volumes" / volume.name
        if volume in self.new:
            if self._captured(volume).is_dir():
                shutil.copytree(self._captured(volume), top)
        elif self.record is not None:
            backups = Backups(self.store, self.settings.source)
            backups.unpack(
                self.record, SCRATCH / "repository", incoming, f"volumes/{volume.name}", "capture/contents.json"
            )
            checked(incoming, self.record, f"volumes/{volume.name}/")
        for path in sorted(top.iterdir()) if top.is_dir() else []:
            path.replace(volume.path / path.name)
        shutil.rmtree(incoming)

    @contextmanager
    def _database(self, volume: Volume) -> Iterator[database.Database]:
        """The database to migrate: the loaded one, the one that serves, or the volume's, while nobody serves it."""
        if volume in self.placed:
            with database.cluster(volume.path / "postgres.new", SCRATCH / "sockets", self.settings) as loaded:
                yield loaded
            return
        deadline = time.monotonic() + PATIENCE
        while True:
            with (volume.path / ".stele-lock").open("w") as lock:
                if locked(lock):  # nobody else begins to serve it now
                    if not (volume.path / "postgres" / "PG_VERSION").exists():
                        raise Problem(
                            f"{volume.name}: the volume was loaded, and its database is gone: to load it again, remove "
                            ".stele/loaded in it"
                        )
                    with database.cluster(volume.path / "postgres", DATA / "sockets", self.settings) as resting:
                        yield resting
                    return
            live = database.running(self.settings, volume.name)
            try:
                live.query("select 1")
            except Problem:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)  # it is starting, or ending
                continue
            yield live
            return


def _clear(volume: Volume) -> None:
    """Take away what a killed load left. Nobody has used it: it was never opened."""
    for path in content(volume.path):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in volume.notes.iterdir():
        if path.name != LOADING:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Its files, and nothing outside the folder: Debian 12's Python (3.11.2) has no extraction filters yet."""
    for member in archive:
        target = Path(os.path.normpath(folder / member.name))
        source = archive.extractfile(member) if member.isfile() else None
        if source is not None and target.is_relative_to(folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def was_loaded() -> dict[str, Any]:
    """The report of the last load."""
    return read(DATA / "load.json")
