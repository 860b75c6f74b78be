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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from components.account_place import AccountPlace, place_of
from components.boundary import CHECKOUT
from components.places import ReleaseError
from components.signature import signed, signing_key
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
    """A question that is being answered in a process of its own. ``key``: the stack's ``backup-key``; ``wanted``: the
    backup that is to be restored, whose own record is looked at then."""

    def __init__(self, account: Account, stack: str, key: str, wanted: str = "newest") -> None:
        question = vars(account) | {"stack": stack, "key": key, "wanted": wanted}
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

    @cached_property
    def answer(self) -> Status:
        """What it says, once it does."""
        try:
            said, wrong = self._asked.communicate(timeout=PATIENCE)
            return Status(**(plain := json.loads(said)) | {"backups": tuple(plain["backups"])})
        except subprocess.TimeoutExpired:
            self._asked.kill()
            self._asked.communicate()
            return unknown(f"the store does not answer within {PATIENCE} s")
        except ValueError:
            return unknown((wrong.strip().splitlines() or ["no reason given"])[-1])


def unknown(problem: str) -> Status:
    """What is said when the store cannot tell."""
    return Status(health="yellow", reason=problem, last=None, backups=(), store=problem)


def status(question: Mapping[str, Any]) -> Status:
    """Ask the store. Raises nothing: what is wrong is in the answer."""
    place = place_of(question)
    try:
        clock, problem = place.inspect()
        skew = abs(datetime.now(UTC) - clock)
        if skew > SKEW:
            return unknown(f"{place.endpoint}: its clock and this machine's differ by {skew}; set the clock")
        if problem:
            mend = "so it protects nothing; use a storage stack's account"
            return unknown(f"{place.endpoint}, {place.bucket}: {problem}, {mend}")
        return _of_records(place, question)
    except ReleaseError as error:
        return unknown(str(error))


def _of_records(place: AccountPlace, question: Mapping[str, Any]) -> Status:
    stack, key, wanted = question["stack"], question["key"], question["wanted"]
    written = place.oldest(f"backups/{stack}/records/")
    listed = sorted(
        (match[1], match[2], path) for path in written if (match := _RECORD.fullmatch(path)) and _has_been(match[1])
    )
    if not listed:
        return Status(health="yellow", reason="there is no backup yet", last=None, backups=())
    signing = signing_key(key)

    def records(*only: str) -> Iterator[dict[str, Any]]:
        """Records of this stack, newest first, and nobody's copies of one from elsewhere."""
        for name, digest, path in reversed(listed):
            if name in only or not only:
                record = _record(place.fetch(path, written[path]), digest, signing)
                if (record.get("name"), record.get("stack")) == (name, stack):
                    yield record

    names = tuple(dict.fromkeys(name for name, _, _ in listed))
    if wanted in names and not any(record.get("result") == "verified" for record in records(wanted)):
        names = tuple(name for name in names if name != wanted)
    failed: str | None = None
    for record in records():
        if record.get("result") == "verified":
            return _by_age(record, names) if failed is None else _yellow(failed, record["name"], names)
        if record.get("result") == "failed" and failed is None:
            failed = f"backup {record['name']} failed: {record.get('reason')}"
    return _yellow(failed or "no backup is verified and made with this backup-key", None, names)


def _moment(name: str) -> datetime:
    """When a backup began, by its name. Raises ValueError."""
    return datetime.strptime(name, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)


def _has_been(name: str) -> bool:
    """Whether a backup can have begun then: one of the future is forged, and would be the last one for ever."""
    try:
        return _moment(name) <= datetime.now(UTC) + SKEW
    except ValueError:
        return False


def _record(text: bytes, digest: str, key: bytes) -> dict[str, Any]:
    """A record; empty for what is none, or not signed with the stack's key: whoever has the account's keys may add what
    they like, and must not be able to stop a plan by it."""
    try:
        record = json.loads(text) if hashlib.sha256(text).hexdigest() == digest else {}
        return dict(record) if signed(record, key) else {}
    except (RecursionError, TypeError, ValueError):
        return {}


def _yellow(reason: str, last: str | None, names: tuple[str, ...]) -> Status:
    return Status(health="yellow", reason=reason, last=last, backups=names)


def _by_age(record: Mapping[str, Any], names: tuple[str, ...]) -> Status:
    """By its end, so that a long night is late by nothing."""
    verified = record["name"]
    if datetime.now(UTC) - datetime.fromisoformat(record["finished"]) > STALE:
        return _yellow(f"the last backup, {verified}, is over a night old", verified, names)
    return Status(health="green", reason="", last=verified, backups=names)


if __name__ == "__main__":
    print(json.dumps(vars(status(json.load(sys.stdin)))))
