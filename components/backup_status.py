"""What an account says of a stack's backups, asked beside the program so that no plan waits for it.

``python -m components.backup_status`` reads the question (JSON) on standard input and prints the answer; the program
starts it first and collects the answer last. A record is ``backups/<stack>/records/<name>.<sha256>.json``, as the task
runner writes it (runtimes/task-runner/runner/repository.py).
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from components.boundary import CHECKOUT
from components.storage_reference import Account

_RECORD = re.compile(r"backups/[^/]+/records/(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)\.([0-9a-f]{64})\.json")
STALE = timedelta(hours=26)  # a night, and two hours to make up for a late one
SKEW = timedelta(minutes=5)
PATIENCE = 30  # seconds for the whole answer
_NEW_KEYS = "pulumi up --refresh of its storage stack gives the account new keys"
_MENDS = {
    "RequestTimeTooSkewed": "its clock and this machine's differ by over 15 minutes; set the clock",
    "NoSuchBucket": "the account is not there; pulumi up --refresh of its storage stack",
    "InvalidAccessKeyId": _NEW_KEYS,
    "SignatureDoesNotMatch": _NEW_KEYS,
    "AccessDenied": _NEW_KEYS,
}


@dataclass(frozen=True, kw_only=True)
class Status:
    """``health`` is ``green`` or ``yellow`` with a ``reason``; ``last``: the newest verified backup; ``backups``: all.

    ``store``: what is wrong with the store or the way to it, in one line; None when it answered well.
    """

    health: str
    reason: str
    last: str | None
    backups: tuple[str, ...]
    store: str | None = None


class Question:
    """A question that is being answered in a process of its own."""

    def __init__(self, account: Account, stack: str) -> None:
        question = vars(account) | {"stack": stack}
        self._asked = subprocess.Popen(
            [sys.executable, "-m", "components.backup_status"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._asked.stdin is not None, "asked for above"
        self._asked.stdin.write(json.dumps(question))
        self._asked.stdin.close()
        self._asked.stdin = None

    def answer(self) -> Status:
        """Wait for the answer."""
        try:
            said, wrong = self._asked.communicate(timeout=PATIENCE)
            return Status(**(plain := json.loads(said)) | {"backups": tuple(plain["backups"])})
        except subprocess.TimeoutExpired:
            self._asked.kill()
            return unknown(f"the store does not answer within {PATIENCE} s")
        except ValueError:
            return unknown((wrong.strip().splitlines() or ["no reason given"])[-1])


def unknown(problem: str) -> Status:
    """What is said when the store cannot tell."""
    return Status(health="yellow", reason=problem, last=None, backups=(), store=problem)


def status(question: Mapping[str, Any]) -> Status:
    """Ask the store. Raises nothing: what is wrong is in the answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    from components.object_lock_keys import Keys, client, code

    endpoint, bucket = question["endpoint"], question["bucket"]
    s3 = client(endpoint, Keys(question["access_key"], question["secret_key"]))
    try:
        versioning = s3.get_bucket_versioning(Bucket=bucket)
        skew = abs(datetime.now(UTC) - parsedate_to_datetime(versioning["ResponseMetadata"]["HTTPHeaders"]["date"]))
        if skew > SKEW:
            return unknown(f"{endpoint}: its clock and this machine's differ by {skew}; set the clock")
        if problem := _unprotected(s3, bucket, versioning.get("Status")):
            return unknown(f"{endpoint}, {bucket}: {problem}")
        return _of_records(s3, bucket, question["stack"])
    except ClientError as error:
        said = _MENDS.get(code(error), "the store failed, perhaps its disk is full")
        return unknown(f"{endpoint}, {bucket}: {code(error)}: {said}")
    except BotoCoreError as error:
        return unknown(f"{endpoint}: the store does not answer ({error}); start it, or mend the address")


def _unprotected(s3: Any, bucket: str, versioning: str | None) -> str | None:
    """Why what is written there would not stay, or None."""
    from botocore.exceptions import ClientError

    if versioning != "Enabled":
        return "keeps no versions, so it protects nothing; use a storage stack's account"
    try:
        lock = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    except ClientError:
        lock = {}
    if lock.get("ObjectLockEnabled") != "Enabled" or "Rule" not in lock:
        return "has no object lock, so it protects nothing; use a storage stack's account"
    return None


def _of_records(s3: Any, bucket: str, stack: str) -> Status:
    listed = [
        (match[1], match[2], entry)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"backups/{stack}/records/")
        for entry in page.get("Contents", [])
        if (match := _RECORD.fullmatch(entry["Key"])) and _has_been(match[1])
    ]
    listed.sort(key=lambda found: found[0])
    if not listed:
        return Status(health="yellow", reason="there is no backup yet", last=None, backups=())
    names = tuple(dict.fromkeys(name for name, _, _ in listed))
    failed: str | None = None
    for name, digest, entry in reversed(listed):
        record = _record(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read(), digest)
        if record.get("result") == "verified":
            return _by_age(name, names) if failed is None else _yellow(failed, name, names)
        if record.get("result") == "failed" and failed is None:
            failed = f"backup {name} failed: {record.get('reason')}"
    return _yellow(failed or "no backup is verified", None, names)


def _moment(name: str) -> datetime:
    """When a backup began, by its name. Raises ValueError."""
    return datetime.strptime(name, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)


def _has_been(name: str) -> bool:
    """Whether a backup can have begun then: one of the future is forged, and would be the last one for ever."""
    try:
        return _moment(name) <= datetime.now(UTC) + SKEW
    except ValueError:
        return False


def _record(text: bytes, digest: str) -> dict[str, Any]:
    """A record; empty for what was overwritten (the task runner finds the version that it was), or never was one:
    whoever has the account's keys may add what they like, and must not be able to stop a plan by it."""
    try:
        record = json.loads(text) if hashlib.sha256(text).hexdigest() == digest else {}
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _yellow(reason: str, last: str | None, names: tuple[str, ...]) -> Status:
    return Status(health="yellow", reason=reason, last=last, backups=names)


def _by_age(verified: str, names: tuple[str, ...]) -> Status:
    if datetime.now(UTC) - _moment(verified) > STALE:
        return _yellow(f"the last backup, {verified}, is over a night old", verified, names)
    return Status(health="green", reason="", last=verified, backups=names)


if __name__ == "__main__":
    print(json.dumps(vars(status(json.load(sys.stdin)))))
