"""Backups of one stack in its account: encrypted, content-addressed restic repositories, and a record for each backup.

``backups/<stack>/<month>/...`` is a repository, ``backups/<stack>/records/<name>.<sha256>.json`` a record, which names
every object that its backup needs. A repository's objects are named by the SHA-256 of their content: whatever is
damaged shows before it is used, and of a key that was overwritten the right version is found by its content.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from .files import empty, is_content
from .log import log
from .problem import Problem
from .settings import DATA, secret
from .store import REMOTE, Store, run

NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")
_RECORD = re.compile(rf"({NAME.pattern})\.([0-9a-f]{{64}})\.json")
_VERSION = re.compile(r"-v\d{4}-\d\d-\d\d-\d{6}-\d{3}")
RESTIC = ("restic", "--option", "rclone.args=serve restic --stdio --contimeout=10s --timeout=60s --low-level-retries=2")


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Backups:
    """The backups of one stack."""

    def __init__(self, store: Store, stack: str) -> None:
        self.store, self.stack = store, stack
        self._prefix = f"backups/{stack}"
        self._env = store.env | {
            "RESTIC_PASSWORD": secret("backup-key"),
            "RESTIC_CACHE_DIR": str(DATA / "cache"),
            "RESTIC_PROGRESS_FPS": "0.1",
        }

    # Records

    def records(self) -> dict[str, dict[str, Any]]:
        """Every backup by its name, oldest first, failed ones too.

        A record is named by its content: one that was overwritten is found among its versions, and a second one of the
        same name does not take its place.
        """
        prefix = f"{self._prefix}/records"
        listed = sorted(self.store.list(prefix), key=lambda entry: str(entry["ModTime"]))
        names = {entry["Path"]: match for entry in listed if (match := _RECORD.fullmatch(entry["Path"]))}
        folder = DATA / "records"
        unknown = [path for path, match in names.items() if not is_content(folder / path, match[2])]
        self.store.fetch(prefix, unknown, folder)
        found: dict[str, dict[str, Any]] = {}
        for path, match in names.items():
            if not is_content(folder / path, match[2]):
                log(f"record {path} is not what its name says; looking for its older versions")
                self._fetch_versions(prefix, {path: match[2]}, folder)
            if match[1] not in found and is_content(folder / path, match[2]):
                found[match[1]] = dict(json.loads((folder / path).read_bytes()))
        return dict(sorted(found.items()))

    def keep(self, record: dict[str, Any]) -> None:
        """Write a record; from here on the backup exists."""
        text = canonical(record)
        self.store.write(f"{self._prefix}/records/{record['name']}.{hashlib.sha256(text).hexdigest()}.json", text)

    def choose(self, name: str) -> dict[str, Any] | None:
        """The record of that name, or the newest verified one; None when there is none at all."""
        good = {key: record for key, record in self.records().items() if record["result"] == "verified"}
        if name == "newest":
            return next(reversed(good.values()), None)
        if name not in good:
            known = ", ".join(list(good)[-5:]) or "none"
            raise Problem(f"restore: {name!r} is no verified backup of {self.stack}; the last ones: {known}")
        return good[name]

    # Writing

    def store_tree(self, folder: Path, paths: Sequence[str], moment: datetime) -> dict[str, Any]:
        """Store files (relative to ``folder``); returns repository, snapshot and what was added, in bytes.

        A repository begins with each month. One that no longer opens is left alone, and another begun beside it.
        """
        listed = folder / ".paths"
        listed.write_bytes(b"".join(path.encode() + b"\0" for path in paths))
        month = f"{moment:%Y-%m}"
        names = {entry["Path"].split("/")[0] for entry in self.store.list(self._prefix)}
        existing = sorted(name for name in names if name.startswith(month))
        reasons: list[str] = []
        for name in [*existing[-1:], f"{month}.{len(existing)}" if existing else month]:
            try:
                if name not in existing:
                    self._restic(name, "init", "--quiet")
                said = self._restic(
                    name, "backup", "--json", "--host", self.stack, "--files-from-raw", str(listed), cwd=folder
                )
            except Problem as problem:
                reasons.append(f"{name}: {problem}")
                log(f"repository {reasons[-1]}")
                continue
            summary = json.loads(said.splitlines()[-1])
            return {"repository": name, "snapshot": summary["snapshot_id"], "added": summary["data_added"]}
        raise Problem(reasons[0])

    def objects(self, repository: str) -> dict[str, int]:
        """Every object of a repository with its size, without restic's own lock files."""
        listed = self.store.list(f"{self._prefix}/{repository}")
        return {entry["Path"]: entry["Size"] for entry in listed if not entry["Path"].startswith("locks/")}

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
            raise Problem(
                f"backup {record['name']}: {len(lost)} of {len(wanted)} objects are missing or damaged, such as "
                f"{prefix}/{lost[0]}; choose another one (restore: <backup>)"
            )

    def _fetch_versions(self, prefix: str, wanted: Mapping[str, str], folder: Path) -> None:
        """Of keys that were overwritten, the version with the wanted digest: object lock has kept it."""
        older = empty(folder / ".versions")
        listed = [entry["Path"] for entry in self.store.list(prefix, versions=True)]
        found = [name for name in listed if _VERSION.search(name) and _VERSION.sub("", name) in wanted]
        self.store.fetch(prefix, found, older, versions=True)
        for name in found:
            path = _VERSION.sub("", name)
            if is_content(older / name, wanted[path]):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (older / name).replace(folder / path)
        shutil.rmtree(older, ignore_errors=True)

    def unpack(self, record: dict[str, Any], folder: Path, target: Path, *only: str) -> None:
        """Restore from a fetched repository: all, or what is under ``only``."""
        includes = [word for path in only for word in ("--include", f"/{path}")]
        command = [*RESTIC, "--repo", folder, "--no-lock", "restore", record["snapshot"], "--target", target, *includes]
        run(command, self._env, f"backup {record['name']}")
