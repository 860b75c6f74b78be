"""Backups of one stack in its account: encrypted, content-addressed restic repositories, and a record for each backup.

``backups/<stack>/<month>/...`` is a repository, ``backups/<stack>/records/<name>.<result>.<sha256>.<seal>.json`` a
record, which names every object that its backup needs. A repository's objects are named by the SHA-256 of their
content: whatever is damaged shows before it is used, and of a key that was overwritten the right version is found by
its content. So is a record; its seal is made with the customer's own key. Who has the account's keys alone can add none
that counts, and of one that counts it shows when its content is lost.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from .capture import Changed
from .files import is_content
from .log import log
from .problem import Problem
from .settings import DATA, secret
from .signature import canonical, seal, signing_key
from .store import REMOTE, Failed, Store, run

NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")
_RECORD = re.compile(
    rf"(?P<name>{NAME.pattern})\.(?P<result>verified|failed)\.(?P<digest>[0-9a-f]{{64}})\.(?P<seal>[0-9a-f]{{64}})\.json"
)
_OBJECT = re.compile(r"config|(keys|index|snapshots)/[0-9a-f]{64}|data/[0-9a-f]{2}/[0-9a-f]{64}")
_REPOSITORY = r"\d{4}-\d\d(\.\d+)?"
_FIELDS = {"repository": _REPOSITORY, "snapshot": "[0-9a-f]{8,64}", "config": "[0-9a-f]{64}"}
_FIELDS |= {"contents": "[0-9a-f]{64}"}
LARGEST = 256 * 1024**2  # bytes of an object; restic's packs are at most half of it, a record is far smaller
RESTIC_INCOMPLETE = 3  # its exit code when it could not read every file
ANEW = timedelta(days=1)  # how often at most all content is stored anew, if that was no help
SKEW = timedelta(minutes=20)  # a store refuses whose clock is 15 minutes off
RESTIC = ("restic", "--option", "rclone.args=serve restic --stdio --contimeout=10s --timeout=60s --low-level-retries=2")


def _moment(name: str) -> datetime:
    return datetime.strptime(name, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)


def _beside(repository: str) -> datetime | None:
    """When a repository was begun beside the month's first one; None for that."""
    try:
        return datetime.strptime(repository, "%Y-%m.%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _can_be_of(name: str, written: datetime) -> bool:
    """Whether a record of a backup that began at the moment in its name can have been written then."""
    try:
        return _moment(name) <= written + SKEW
    except ValueError:
        return False


class Damaged(Problem):
    """What is stored is not, or no longer, what was stored."""


def parsed(text: bytes) -> dict[str, Any] | None:
    """A record; None when it is none: a runner that is not its stack's any more may seal anything."""
    try:
        record = json.loads(text)
        if record["result"] == "failed":
            return dict(record)
        fits = all(re.fullmatch(pattern, record[key]) for key, pattern in _FIELDS.items())
        fits &= all(_OBJECT.fullmatch(path) for path in record["objects"])
        fits &= {"started", "fenced"} <= record.keys()
        return dict(record) if fits else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


class _Seen(NamedTuple):
    """The records of a stack by name, oldest first; the names of verified backups whose record is lost; and how many
    records are sealed with another key."""

    found: dict[str, dict[str, Any]]
    gone: set[str]
    strange: int


class Backups:
    """The backups of one stack."""

    def __init__(self, store: Store, stack: str) -> None:
        self.store, self.stack = store, stack
        self._prefix = f"backups/{stack}"
        self._key = signing_key(secret("backup-key"))
        self._env = store.env | {
            "RESTIC_PASSWORD": secret("backup-key"),
            "RESTIC_CACHE_DIR": str(DATA / "cache"),
            "RESTIC_PROGRESS_FPS": "0.1",
        }
        self._begun: list[str] = []

    # Records

    def records(self) -> dict[str, dict[str, Any]]:
        """Every backup by its name, oldest first, failed ones too.

        A record is named by its content: one that was overwritten is found among its versions. A second one of the same
        name does not take its place, and one that was written before the moment in its name is none, by the store's
        clock and its first version. So nobody can hide an old backup, or be the newest once another one was made.
        Raises Problem when there are records and none is sealed with this key: what they say must not be passed over
        for an empty beginning.
        """
        return self._ours().found

    def _ours(self) -> _Seen:
        """What is there, unless it was all made with another key. Raises Problem."""
        seen = self._seen()
        if seen.strange and not (seen.found or seen.gone):
            raise Problem(
                f"secret 'backup-key': {seen.strange} backups of {self.stack}, none made with this key; set theirs: "
                "pulumi config set --secret backup-key VALUE, or begin with none of them (restore: vanilla)"
            )
        return seen

    def _seen(self) -> _Seen:
        """Fetch the records that are not known yet, and look at all of them."""
        prefix, folder = f"{self._prefix}/records", DATA / "records"
        sealed, strange = self._sealed(prefix)
        unknown = {each[0]: each["digest"] for each in sealed if not is_content(folder / each[0], each["digest"])}
        self.store.fetch(prefix, unknown, folder, largest=LARGEST)
        lost = {path: digest for path, digest in unknown.items() if not is_content(folder / path, digest)}
        if lost:
            log(f"{len(lost)} records are not what their names say; looking for their older versions")
            self._fetch_versions(prefix, lost, folder)
        found: dict[str, dict[str, Any]] = {}
        gone: set[str] = set()
        for each in sealed:
            if not is_content(folder / each[0], each["digest"]):
                log(f"record {each[0]} is lost, or cannot be read")
                gone |= {each["name"]} if each["result"] == "verified" else set()
            elif record := parsed((folder / each[0]).read_bytes()):
                found[each["name"]] = record | {"name": each["name"], "result": each["result"]}
            else:
                log(f"record {each[0]} is no record of a backup; it is passed over")
        return _Seen(found, gone, strange)

    def _sealed(self, prefix: str) -> tuple[list[re.Match[str]], int]:
        """The file names of records that count, in the order of the backups' names; and how many have another seal."""
        written = {path: first.written for path, first in self.store.oldest(prefix).items()}
        found: dict[str, re.Match[str]] = {}
        none, strange = 0, 0
        for path in sorted(written, key=lambda path: (written[path], path)):
            each = _RECORD.fullmatch(path)
            if each is None or not _can_be_of(each["name"], written[path]):
                none += 1
            elif not hmac.compare_digest(
                each["seal"], seal(self.stack, each["name"], each["result"], each["digest"], self._key)
            ):
                strange += 1
            else:
                found.setdefault(each["name"], each)
        if none or strange:
            log(f"passed over among the records: {none} that are none, {strange} not sealed with this backup-key")
        return [found[name] for name in sorted(found)], strange

    def keep(self, record: dict[str, Any]) -> None:
        """Write a record; from here on the backup exists."""
        text = canonical(record)
        name, result, digest = record["name"], record["result"], hashlib.sha256(text).hexdigest()
        sealed = seal(self.stack, name, result, digest, self._key)
        self.store.write(f"{self._prefix}/records/{name}.{result}.{digest}.{sealed}.json", text)

    def choose(self, name: str) -> dict[str, Any] | None:
        """The record of that name, or the newest verified one; None when there is none at all.

        Raises Damaged when there was a newer one whose record is lost: neither an older one nor nothing must take its
        place unasked.
        """
        found, gone, _ = self._ours()
        good = {key: record for key, record in found.items() if record["result"] == "verified"}
        newest = max(gone, default="")
        if name in gone or (name == "newest" and newest > max(good, default="")):
            raise Damaged(
                f"backup {newest if name == 'newest' else name}: its record is not what was stored; bring it back in "
                f"the store, or choose another backup (restore: {max(good, default='vanilla')})"
            )
        if name == "newest":
            return next(reversed(good.values()), None)
        if name not in good:
            known = ", ".join(list(good)[-5:]) or "none"
            raise Problem(f"restore: {name!r} is no verified backup of {self.stack}; the last ones: {known}")
        return good[name]

    # Writing

    def store_tree(self, folder: Path, paths: Sequence[str], moment: datetime) -> dict[str, Any]:
        """Store files (relative to ``folder``); returns repository, snapshot and what was added, in bytes.

        A repository begins with each month. One that is not sound is left alone, and another begun beside it. Raises
        Changed when a file went meanwhile.
        """
        listed = folder / ".paths"
        listed.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))
        reason: Problem | None = None
        for name in self._known(moment):
            try:
                return self._add(name, folder, listed)
            except Changed:
                raise
            except Problem as problem:
                if self._is_sound(name):
                    raise
                reason = problem
                log(f"repository {name}: {problem}; it is left alone")
        return self._add(self.begin(moment, reason), folder, listed)

    def _known(self, moment: datetime) -> list[str]:
        """The month's repositories that may be gone on with, the youngest first: those that were begun just now or that
        a record names, and the first one, which a night may have been killed in. Anybody may have put others there."""
        month = f"{moment:%Y-%m}"
        told = [str(record.get("repository", "")) for record in reversed(self._seen().found.values())]
        named = [*reversed(self._begun), *(name for name in told if name.startswith(month))]
        if month not in named and self._exists(month):
            named.append(month)
        return list(dict.fromkeys(named))

    def begin(self, moment: datetime, reason: Problem | None = None) -> str:
        """A new repository: the month's first one, or beside it one that nobody can have put there before.

        Raises ``reason`` when one was begun less than a day ago and no backup in it was verified: then it is not the
        repository's fault, and each one has all of the content, which nobody can delete.
        """
        month = f"{moment:%Y-%m}"
        if reason is not None and (unproven := self._unproven(moment)):
            raise Problem(f"{reason}; stored anew already, in {unproven}, and the next time not within a day")
        name = f"{month}.{datetime.now(UTC):%d%H%M%S}" if self._exists(month) else month
        self._restic(name, "init", "--quiet")
        self._begun.append(name)
        return name

    def _unproven(self, moment: datetime) -> str | None:
        """A repository that was begun beside the month's first one within the last day, without a verified backup."""
        proven = {each.get("repository") for each in self._seen().found.values() if each["result"] == "verified"}
        for name in self._known(moment):
            if name not in proven and (begun := _beside(name)) and datetime.now(UTC) - begun < ANEW:
                return name
        return None

    def _add(self, name: str, folder: Path, listed: Path) -> dict[str, Any]:
        """Store the listed files in a repository."""
        words = ["backup", "--json", "--host", self.stack, "--files-from-raw", str(listed)]
        try:
            said = self._restic(name, *words, cwd=folder)
        except Failed as failed:
            if failed.code == RESTIC_INCOMPLETE:
                raise Changed(f"a file went while it was backed up ({failed})") from None
            raise
        summary = json.loads(said.splitlines()[-1])
        return {"repository": name, "snapshot": summary["snapshot_id"], "added": summary["data_added"]}

    def _exists(self, repository: str) -> bool:
        return any(entry["Path"].startswith(f"{repository}/") for entry in self.store.list(self._prefix))

    def _is_sound(self, name: str) -> bool:
        """Whether a repository opens and has what its index names: then what went wrong is not its fault."""
        try:
            self._restic(name, "check", "--no-lock", "--quiet")
        except Problem as problem:
            log(f"repository {name}: {problem}")
            return False
        return True

    def objects(self, repository: str) -> dict[str, int]:
        """Every object of a repository with its size: without lock files, and what else anybody may have put there."""
        listed = self.store.list(f"{self._prefix}/{repository}")
        return {entry["Path"]: entry["Size"] for entry in listed if _OBJECT.fullmatch(entry["Path"])}

    def config_digest(self, repository: str) -> str:
        """The one object that is not named by its content."""
        return hashlib.sha256(self.store.read(f"{self._prefix}/{repository}/config")).hexdigest()

    def _restic(self, repository: str, *words: str, cwd: Path = DATA) -> bytes:
        url = f"rclone:{REMOTE}:{self.store.bucket}/{self._prefix}/{repository}"
        return run([*RESTIC, "--repo", url, *words], self._env, f"backup to {self.store.endpoint}", cwd=cwd)

    # Reading

    def fetch(self, record: dict[str, Any], folder: Path) -> None:
        """Copy what a backup needs, and nothing is used before all of it is proven to be what was stored.

        Raises Damaged when an object is missing or damaged.
        """
        if lost := self._fetch(record, folder):
            raise self._damaged(record, lost)

    def fetch_new(self, record: dict[str, Any], folder: Path) -> None:
        """Copy a backup that is being made. What is not what its name says, and is no object of an earlier backup, is
        none of this one either: anybody may have put it there, and the record is rid of it. That the backup is whole
        without shows when it is restored.

        Raises Damaged when an object of an earlier backup is missing or damaged.
        """
        if not (lost := self._fetch(record, folder)):
            return
        earlier = (each for each in self._seen().found.values() if each.get("repository") == record["repository"])
        known = {path for each in earlier for path in each.get("objects", ())}
        if damaged := [path for path in lost if path in known]:
            raise self._damaged(record, damaged)
        log(f"passed over in the repository: {len(lost)} that are not what their names say")
        for path in lost:
            (folder / path).unlink(missing_ok=True)
        record["objects"] = {path: size for path, size in record["objects"].items() if path not in lost}

    def _damaged(self, record: dict[str, Any], lost: Sequence[str]) -> Damaged:
        return Damaged(
            f"backup {record['name']}: {len(lost)} of {len(record['objects'])} objects are missing or damaged, such as "
            f"{self._prefix}/{record['repository']}/{lost[0]}; choose another one (restore: <backup>)"
        )

    def _fetch(self, record: dict[str, Any], folder: Path) -> list[str]:
        """Copy what a record names; returns what is missing or damaged, of which there is no sound older version."""
        prefix = f"{self._prefix}/{record['repository']}"
        wanted: dict[str, int] = record["objects"]
        self.store.fetch(prefix, wanted, folder, largest=LARGEST)
        digests = {path: record["config"] if path == "config" else path.rpartition("/")[2] for path in wanted}
        wrong = {path: digest for path, digest in digests.items() if not is_content(folder / path, digest)}
        if wrong:
            log(f"{len(wrong)} objects are not what was stored; looking for their older versions")
            self._fetch_versions(prefix, wrong, folder)
        return [path for path, digest in wrong.items() if not is_content(folder / path, digest)]

    def _fetch_versions(self, prefix: str, wanted: Mapping[str, str], folder: Path) -> None:
        """Of keys that were overwritten, the version with the wanted digest: object lock has kept it."""
        for version in self.store.versions(prefix):
            digest = wanted.get(version.path)
            if digest is None or version.size > LARGEST or is_content(folder / version.path, digest):
                continue
            try:
                content = self.store.read_version(prefix, version)
            except Problem as problem:
                log(f"{prefix}/{version.path}: {problem}")  # another version may be readable
                continue
            if hashlib.sha256(content).hexdigest() == digest:
                (folder / version.path).parent.mkdir(parents=True, exist_ok=True)
                (folder / version.path).write_bytes(content)

    def unpack(self, record: dict[str, Any], folder: Path, target: Path, *only: str) -> None:
        """Restore from a fetched repository: all, or what is under ``only``.

        Without restic's cache, which holds what a night has just stored: that proves nothing about what was fetched.
        """
        includes = [word for path in only for word in ("--include", f"/{path}")]
        command = [
            *RESTIC,
            "--repo",
            folder,
            "--no-lock",
            "--no-cache",
            "restore",
            record["snapshot"],
            "--target",
            target,
            *includes,
        ]
        run(command, self._env, f"backup {record['name']}")
