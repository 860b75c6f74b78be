"""What an account says of a stack's backups, asked beside the program so that no plan waits for it.

``python -m components.backup_status`` reads the question (JSON) on standard input and prints the answer; the program
starts it first and collects the answer last. A record is
``backups/<stack>/records/<name>.<result>.<sha256>.<seal>.json``, as the task runner writes it, and counts when it does
there (runtimes/task-runner/runner/repository.py).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from components.account_place import AccountPlace, First, place_of
from components.boundary import CHECKOUT
from components.places import ReleaseError
from components.signature import seal, signing_key
from components.storage_reference import Account

_RECORD = re.compile(
    r"backups/[^/]+/records/(?P<name>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)\.(?P<result>verified|failed)"
    r"\.(?P<digest>[0-9a-f]{64})\.(?P<seal>[0-9a-f]{64})\.json"
)
STALE = timedelta(hours=26)  # a night, and two hours to make up for a late one
SKEW = timedelta(minutes=5)
STORE_SKEW = timedelta(minutes=20)  # a store refuses whose clock is 15 minutes off
LARGEST = 256 * 1024**2  # bytes of a record
PATIENCE = 30  # seconds for the whole answer
OTHER_KEY = "no backup is made with this backup-key"


@dataclass(frozen=True, kw_only=True)
class Status:
    """``health`` is ``green`` or ``yellow`` with a ``reason``; ``last``: the newest verified backup; ``backups``: all
    verified ones, oldest first.

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
    """By the records' file names alone, which are sealed; only the newest one's content is looked at, and that of the
    backup that is wanted."""
    written = place.oldest(f"backups/{question['stack']}/records/")
    found = _sealed(written, question["stack"], signing_key(question["key"]))
    if not found:
        others = any(_RECORD.fullmatch(path) for path in written)
        return _yellow(OTHER_KEY if others else "there is no backup yet", None, ())
    names = [name for name, each in found.items() if each["result"] == "verified"]
    wanted = question["wanted"]
    if wanted in names and _record(place, found[wanted], written) is None:
        names.remove(wanted)
    last = names[-1] if names else None
    newest = next(reversed(found.values()))
    record = _record(place, newest, written)
    if record is None:
        reason = f"backup {newest['name']}: its record is lost, or cannot be read; mend the store"
        return _yellow(reason, last, tuple(names))
    if newest["result"] == "failed":
        return _yellow(f"backup {newest['name']} failed: {record.get('reason')}", last, tuple(names))
    return _by_age(record, tuple(names))


def _sealed(written: Mapping[str, First], stack: str, key: bytes) -> dict[str, re.Match[str]]:
    """The records of this stack that count, by name, oldest first. Whoever has the account's keys may add what they
    like, and must not be able to stop a plan by it: what is not sealed is not even fetched."""
    found: dict[str, re.Match[str]] = {}
    for path in sorted(written, key=lambda path: (written[path].written, path)):
        each = _RECORD.fullmatch(path)
        if each is None or not _can_have_been(each["name"], written[path].written):
            continue
        if hmac.compare_digest(each["seal"], seal(stack, each["name"], each["result"], each["digest"], key)):
            found.setdefault(each["name"], each)
    return {name: found[name] for name in sorted(found)}


def _moment(name: str) -> datetime:
    """When a backup began, by its name. Raises ValueError."""
    return datetime.strptime(name, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)


def _can_have_been(name: str, written: datetime) -> bool:
    """Whether a backup can have begun then: one of the future is forged, and would be the last one for ever."""
    try:
        return _moment(name) <= min(datetime.now(UTC) + SKEW, written + STORE_SKEW)
    except ValueError:
        return False


def _record(place: AccountPlace, named: re.Match[str], written: Mapping[str, First]) -> dict[str, Any] | None:
    """A record's content; None when it is not, or no longer, what was written."""
    first = written[named[0]]
    try:
        text = place.fetch(named[0], first) if first.size <= LARGEST else b""
        return dict(json.loads(text)) if hashlib.sha256(text).hexdigest() == named["digest"] else None
    except (RecursionError, ReleaseError, TypeError, ValueError):
        return None


def _yellow(reason: str, last: str | None, names: tuple[str, ...]) -> Status:
    return Status(health="yellow", reason=reason, last=last, backups=names)


def _by_age(record: Mapping[str, Any], names: tuple[str, ...]) -> Status:
    """By its end, so that a long night is late by nothing."""
    try:
        late = datetime.now(UTC) - datetime.fromisoformat(str(record.get("finished"))) > STALE
    except (TypeError, ValueError):
        late = True  # the runner's, but not as ours writes it
    if late:
        return _yellow(f"the last backup, {names[-1]}, is over a night old", names[-1], names)
    return Status(health="green", reason="", last=names[-1], backups=names)


if __name__ == "__main__":
    print(json.dumps(vars(status(json.load(sys.stdin)))))
