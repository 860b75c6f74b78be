"""Backups of one stack in its account: encrypted, content-addressed restic repositories, and a record for each backup.

``backups/<stack>/<month>/...`` is a repository, ``backups/<stack>/records/<name>.<sha256>.json`` a record, which names
every object that its backup needs. A repository's objects are named by the SHA-256 of their content: whatever is
damaged shows before it is used, and of a key that was overwritten the right version is found by its content. A record
is signed with the customer's own key: who has the account's keys alone can add none that counts.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from .capture import Changed
from .files import is_content
from .log import log
from .problem import Problem
from .settings import DATA, secret
from .store import REMOTE, Failed, Store, run

NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")
_RECORD = re.compile(rf"({NAME.pattern})\.([0-9a-f]{{64}})\.json")
_OBJECT = re.compile(r"config|(keys|index|snapshots)/[0-9a-f]{64}|data/[0-9a-f]{2}/[0-9a-f]{64}")
_FIELDS = {"repository": r"\d{4}-\d\d(\.\d+)?", "snapshot": "[0-9a-f]{8,64}", "config": "[0-9a-f]{64}"}
_FIELDS |= {"contents": "[0-9a-f]{64}"}
LARGEST = 256 * 1024**2  # bytes; restic's packs are at most half of it
RESTIC_INCOMPLETE = 3  # its exit code when it could not read every file
SKEW = timedelta(minutes=20)  # a store refuses whose clock is 15 minutes off
RESTIC = ("restic", "--option", "rclone.args=serve restic --stdio --contimeout=10s --timeout=60s --low-level-retries=2")


def _numbered(month: str, number: int) -> str:
    return f"{month}.{number}" if number else month


def _moment(name: str) -> datetime:
    return datetime.strptime(name, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def signing_key(passphrase: str) -> bytes:
    """Derived slowly (scrypt, RFC 7914), as restic's own: a record must not help to guess the passphrase."""
    return hashlib.scrypt(passphrase.encode(), salt=b"stele backup record", n=2**14, r=8, p=1, dklen=32)


def signature(record: Mapping[str, Any], key: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) of a record without its signature."""
    return hmac.new(key, canonical({**record, "signature": ""}), "sha256").hexdigest()


def signed(record: Mapping[str, Any], key: bytes) -> bool:
    """Whether a record is signed with that key; what anybody may have put there instead of a signature is none."""
    try:
        return hmac.compare_digest(str(record.get("signature")).encode(), signature(record, key).encode())
    except (ValueError, RecursionError):
        return False


class Damaged(Problem):
    """What is stored is not, or no longer, what was stored."""


def parsed(text: bytes, name: str) -> dict[str, Any] | None:
    """The record in a file named ``name``; None when it is none, for whoever may add backups may add anything."""
    try:
        _moment(name)
        record = json.loads(text)
        if (record["name"], record["result"]) == (name, "failed"):
            return dict(record)
        fits = all(re.fullmatch(pattern, record[key]) for key, pattern in _FIELDS.items())
        fits &= all(_OBJECT.fullmatch(path) for path in record["objects"])
        fits &= {"started", "fenced"} <= record.keys()
        return dict(record) if fits and (record["name"], record["result"]) == (name, "verified") else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


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

    # Records

    def records(self) -> dict[str, dict[str, Any]]:
        """Every backup by its name, oldest first, failed ones too.

        A record is named by its content: one that was overwritten is found among its versions. A second one of the same
        name does not take its place, and one that was written before the moment in its name is none, by the store's
        clock and its first version. So nobody can hide an old backup, or be the newest once another one was made.
        Raises Problem when there are records and none is signed with this key: what they say must not be passed over
        for an empty beginning.
        """
        return self._records()[0]

    def _records(self) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """Those, and the names of records that are not, or no longer, what was written."""
        prefix = f"{self._prefix}/records"
        written: dict[str, datetime] = {}
        for version in self.store.versions(prefix):
            written[version.path] = min(version.written, written.get(version.path, version.written))
        listed = sorted(written, key=lambda path: written[path])
        names = {path: match for path in listed if (match := _RECORD.fullmatch(path))}
        folder = DATA / "records"
        unknown = [path for path, match in names.items() if not is_content(folder / path, match[2])]
        self.store.fetch(prefix, unknown, folder)
        overwritten = {path: names[path][2] for path in unknown if not is_content(folder / path, names[path][2])}
        if overwritten:
            log(f"{len(overwritten)} records are not what their names say; looking for their older versions")
            self._fetch_versions(prefix, overwritten, folder)
        found: dict[str, dict[str, Any]] = {}
        strange = 0
        gone: set[str] = set()
        for path, match in names.items():
            if not is_content(folder / path, match[2]):
                gone.add(match[1])
                continue
            if match[1] in found:
                continue
            record = parsed((folder / path).read_bytes(), match[1])
            if record is None or record.get("stack") != self.stack or _moment(match[1]) > written[path] + SKEW:
                log(f"record {path} is no record of a backup; it is passed over")
            elif not signed(record, self._key):
                log(f"record {path} is not signed with this backup-key; it is passed over")
                strange += 1
            else:
                found[match[1]] = record
        if strange and not found:
            raise Problem(
                f"secret 'backup-key': {strange} backups of {self.stack}, none made with this key; set theirs: pulumi "
                "config set --secret backup-key VALUE, or begin with none of them (restore: vanilla)"
            )
        return dict(sorted(found.items())), gone

    def keep(self, record: dict[str, Any]) -> None:
        """Sign a record and write it; from here on the backup exists."""
        record["signature"] = signature(record, self._key)
        text = canonical(record)
        self.store.write(f"{self._prefix}/records/{record['name']}.{hashlib.sha256(text).hexdigest()}.json", text)

    def choose(self, name: str) -> dict[str, Any] | None:
        """The record of that name, or the newest verified one; None when there is none at all.

        Raises Damaged when there may be a newer one that cannot be read. Where every version is listed, what is no
        record now has never been one; elsewhere it may have been overwritten, and neither an older one nor nothing must
        take its place.
        """
        found, gone = self._records()
        good = {key: record for key, record in found.items() if record["result"] == "verified"}
        if name == "newest":
            newest = max(gone, default="")
            if newest > max(good, default="") and not self.store.lists_versions:
                raise Damaged(
                    f"backup {newest}: its record is not what was stored, and its older versions are not listed here; "
                    f"bring back the first one, or choose another backup (restore: {max(good, default='vanilla')})"
                )
            return next(reversed(good.values()), None)
        if name not in good:
            known = ", ".join(list(good)[-5:]) or "none"
            raise Problem(f"restore: {name!r} is no verified backup of {self.stack}; the last ones: {known}")
        return good[name]

    # Writing

    def store_tree(self, folder: Path, paths: Sequence[str], moment: datetime, *, fresh: bool) -> dict[str, Any]:
        """Store files (relative to ``folder``); returns repository, snapshot and what was added, in bytes.

        A repository begins with each month. One that is not sound is left alone, and another begun beside it, as with
        ``fresh``. Raises Changed when a file went meanwhile.
        """
        listed = folder / ".paths"
        listed.write_bytes(b"".join(path.encode() + b"\0" for path in paths))
        month = f"{moment:%Y-%m}"
        numbers: set[int] = set()  # of those of this month
        for entry in self.store.list(self._prefix):
            if match := re.fullmatch(rf"{month}(?:\.([1-9]\d?))?/.*", entry["Path"]):
                numbers.add(int(match[1] or 0))
        for number in [] if fresh else sorted(numbers, reverse=True):
            name = _numbered(month, number)
            try:
                return self._add(name, folder, listed)
            except Changed:
                raise
            except Problem as problem:
                if self._is_sound(name):
                    raise
                log(f"repository {name}: {problem}; it is left alone")
        name = _numbered(month, next(number for number in count() if number not in numbers))
        self._restic(name, "init", "--quiet")
        return self._add(name, folder, listed)

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

        Raises Problem when an object is missing or damaged.
        """
        prefix = f"{self._prefix}/{record['repository']}"
        wanted: dict[str, int] = record["objects"]
        self.store.fetch(prefix, wanted, folder)
        digests = {path: record["config"] if path == "config" else path.rpartition("/")[2] for path in wanted}
        wrong = {path: digest for path, digest in digests.items() if not is_content(folder / path, digest)}
        if wrong:
            log(f"{len(wrong)} objects are not what was stored; looking for their older versions")
            self._fetch_versions(prefix, wrong, folder)
        lost = [path for path, digest in wrong.items() if not is_content(folder / path, digest)]
        if lost:
            raise Damaged(
                f"backup {record['name']}: {len(lost)} of {len(wanted)} objects are missing or damaged, such as "
                f"{prefix}/{lost[0]}; choose another one (restore: <backup>)"
            )

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
        """Restore from a fetched repository: all, or what is under ``only``."""
        includes = [word for path in only for word in ("--include", f"/{path}")]
        command = [*RESTIC, "--repo", folder, "--no-lock", "restore", record["snapshot"], "--target", target, *includes]
        run(command, self._env, f"backup {record['name']}")
