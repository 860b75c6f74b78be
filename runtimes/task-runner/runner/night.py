"""One backup, from capture to verification; and what is known of the last ones."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from .capture import CAPTURED, Changed, capture, unchanged
from .files import locked, read, sha256, write
from .log import log
from .problem import Problem, of_the_disk, problem_of
from .repository import SKEW, Backups, Damaged
from .settings import DATA, Settings, secret
from .signature import signed, signing_key
from .store import Store
from .verify import verify
from .versions import Version

STATUS = DATA / "status.json"
HURRY = DATA / ".hurry"  # what changes faster than a paced night reads it is read at full speed (pacing.py)
TRIES = 3
SMALL = 1024**2  # bytes; an incarnation has a few thousand
_OF_A_FAILURE = ("format", "name", "stack", "started", "fenced", "repository")  # the next night goes on in that one


@contextmanager
def alone() -> Iterator[None]:
    """Only one backup of a stack at a time. Whoever comes later lets the other one go on at full speed, and waits."""
    with (DATA / ".backup-lock").open("w") as lock:
        told = False
        while not locked(lock):
            if not told:
                log("another backup of this stack runs; this one begins after it")
                told = True
            HURRY.touch()
            time.sleep(1)
        yield


def back_up(settings: Settings) -> dict[str, Any]:
    """Make one backup and verify it; returns its record. Raises Problem, after that was recorded too."""
    with alone():
        HURRY.unlink(missing_ok=True)  # of one that was killed
        started, clock = datetime.now(UTC), time.monotonic()
        name = f"{started:%Y-%m-%dT%H-%M-%SZ}"
        record: dict[str, Any] = {"format": 1, "name": name, "stack": settings.stack, "started": stamp(started)}
        record |= {"fenced": settings.fenced}
        log(f"backup {name} begins")
        backups = Backups(Store(settings.storage), settings.stack)
        try:
            record |= _stored(backups, settings, name, started)
            log(f"backup {name}: {record['added']} bytes stored; restoring it to see whether it can be")
            try:
                verify(backups, record, settings)
            except Damaged as damaged:
                # By its medium or by somebody: then no backup of this month would be restorable.
                log(f"backup {name}: {damaged}; all of it is stored anew, in another repository")
                record["repository"] = backups.begin(
                    started, damaged
                )  # the next night goes on in that, if this one fails
                record |= _stored(backups, settings, name, started)
                verify(backups, record, settings)
            record |= {"result": "verified", "finished": stamp(datetime.now(UTC))}
            backups.keep(record)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is told, or nobody would know of it
            problem = problem_of(error)
            shutil.rmtree(CAPTURED, ignore_errors=True)  # on a full disk, that makes room for what is noted below
            log(f"backup {name} failed: {problem}")
            failure = {key: record[key] for key in _OF_A_FAILURE if key in record}
            failure |= {"result": "failed", "reason": str(problem), "finished": stamp(datetime.now(UTC))}
            _remember_failure(failure, time.monotonic() - clock)
            _keep_failure(backups, failure)
            raise problem from None
        finally:
            shutil.rmtree(CAPTURED, ignore_errors=True)
            HURRY.unlink(missing_ok=True)
        _remember(record, time.monotonic() - clock)
        log(f"backup {name} is complete and verified")
        return record


def _stored(backups: Backups, settings: Settings, name: str, moment: datetime) -> dict[str, Any]:
    incarnation = newest_incarnation(backups.store, settings.stack)
    for attempt in range(1, TRIES + 1):
        contents, paths = capture(settings, name, {"incarnation.json": incarnation})
        try:
            stored = backups.store_tree(DATA, paths, moment)
            unchanged(contents)
            HURRY.unlink(missing_ok=True)
            break
        except Changed as changed:
            log(f"backup {name}: {changed}; once more")
            if attempt == TRIES:
                raise
            HURRY.touch()
    return stored | {
        "config": backups.config_digest(stored["repository"]),
        "objects": backups.objects(stored["repository"]),
        "contents": sha256(CAPTURED / "contents.json"),
        "bytes": sum(entry["size"] for entry in contents["files"].values()),
        "files": len(contents["files"]),
        "rows": contents["rows"],
        "messages": contents["messages"],
        "schema": contents["schema"],
        "volumes": sorted(volume.name for volume in settings.volumes),
        "incarnation": incarnation,
    }


def newest_incarnation(store: Store, stack: str) -> dict[str, Any]:
    """The stack's exact configuration and release, as `pulumi up` recorded it last; empty when it never did.

    The first version of each, as it was recorded, and no later than the store's clock says: whose own was wrong must
    not hide what comes after. What is no incarnation, or not signed with this ``backup-key`` for that very key, is in
    nobody's way. Raises Problem when there are only such: a new installation loads what its incarnation names.
    """
    prefix, key = f"stacks/{stack}/incarnations", signing_key(secret("backup-key"))
    written = store.oldest(prefix)
    newest, at = {}, ""
    for path in sorted(written, key=lambda path: written[path].written, reverse=True):
        limit = stamp(written[path].written)
        if limit < at:
            break  # nor is any that was written before
        document = _incarnation(store, prefix, written[path])
        ours = document.get("key") == f"{prefix}/{path}" and document.get("stack") == stack and signed(document, key)
        if ours and (recorded := min(str(document["recorded"]), limit)) > at:
            newest, at = document, recorded
    if written and not newest:
        raise Problem(f"{len(written)} incarnations of {stack}, none signed with this backup-key; pulumi up -s {stack}")
    return newest


def _incarnation(store: Store, prefix: str, version: Version) -> dict[str, Any]:
    """A document in the account; empty for what is none."""
    try:
        document = json.loads(store.read_version(prefix, version)) if version.size <= SMALL else None
    except (Problem, RecursionError, ValueError) as error:
        log(f"{prefix}/{version.path}: {error}")
        store.oldest(prefix)  # raises when it is not this one that cannot be read, but all of the store
        document = None
    return document if isinstance(document, dict) else {}


def _keep_failure(backups: Backups, failure: dict[str, Any]) -> None:
    try:
        backups.keep(failure)
    except Problem as problem:
        log(f"the failure cannot be recorded in the account: {problem}")


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def last_success(now: float) -> float:
    """When the last backup began that was verified; 0 for none. One of the future is none: the clock was wrong then."""
    success: float = read(STATUS).get("success", 0)
    return success if success <= now + SKEW.total_seconds() else 0


def _remember_failure(failure: dict[str, Any], seconds: float) -> None:
    """On a full disk too: then what the last success was is forgotten, rather than shown as if nothing had failed."""
    try:
        _remember(failure, seconds)
    except OSError as error:
        log(f"the failure cannot be noted: {of_the_disk(error)}")
        STATUS.unlink(missing_ok=True)


def _remember(record: dict[str, Any], seconds: float) -> None:
    """For the metrics: they must not ask the store."""
    status = read(STATUS)
    if record["result"] == "verified":
        when, end = (datetime.fromisoformat(record[key]).timestamp() for key in ("started", "finished"))
        status |= {
            "success": when,
            "finished": end,
            "bytes": record["bytes"],
            "added": record["added"],
            "seconds": round(seconds, 3),
        }
        status |= {"name": record["name"], "reason": ""}
    else:
        status |= {"reason": record["reason"], "failure": record["name"]}
    write(STATUS, status)
