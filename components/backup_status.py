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
        mends = {
            "RequestTimeTooSkewed": "its clock and this machine's differ by over 15 minutes; set the clock",
            "NoSuchBucket": "the account is not there; pulumi up of its storage stack",
        }
        mend = mends.get(code(error), f"{code(error)}; pulumi up of its storage stack gives the account new keys")
        return unknown(f"{endpoint}, {bucket}: {mend}")
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
        if (match := _RECORD.fullmatch(entry["Key"]))
    ]
    listed.sort(key=lambda found: found[0])
    if not listed:
        return Status(health="yellow", reason="there is no backup yet", last=None, backups=())
    names = tuple(name for name, _, _ in listed)
    newest: dict[str, Any] | None = None
    verified: str | None = None
    for name, digest, entry in reversed(listed):
        text = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        if hashlib.sha256(text).hexdigest() != digest:
            continue  # overwritten: the task runner finds the version that it was
        record = json.loads(text)
        newest = newest or record
        if record["result"] == "verified":
            verified = name
            break
    if newest is not None and newest["result"] != "verified":
        return Status(
            health="yellow", reason=f"backup {newest['name']} failed: {newest['reason']}", last=verified, backups=names
        )
    return _by_age(verified, names)


def _by_age(verified: str | None, names: tuple[str, ...]) -> Status:
    if verified is None:
        return Status(health="yellow", reason="no backup is verified", last=None, backups=names)
    age = datetime.now(UTC) - datetime.strptime(verified, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)
    if age > STALE:
        return Status(
            health="yellow", reason=f"the last backup, {verified}, is over a night old", last=verified, backups=names
        )
    return Status(health="green", reason="", last=verified, backups=names)


if __name__ == "__main__":
    print(json.dumps(vars(status(json.load(sys.stdin)))))
