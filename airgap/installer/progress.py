"""What the user sees while something takes long, and the lock that makes a second install wait."""

from __future__ import annotations

import contextlib
import fcntl
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def say(message: str) -> None:
    """One line of progress. Goes to standard error: `make -s env` is evaluated by a shell."""
    print(f"stele: {message}", file=sys.stderr, flush=True)


class Ticker:
    """Says how far something is, at most once in `seconds`."""

    def __init__(self, what: str, seconds: float = 15.0) -> None:
        self._what = what
        self._seconds = seconds
        self._started = self._said = time.monotonic()

    def tick(self, state: str) -> None:
        now = time.monotonic()
        if now - self._said >= self._seconds:
            self._said = now
            say(f"{self._what}: {state} ({now - self._started:.0f} s)")


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Holds the lock file `path`; says so when somebody else holds it. A dead holder holds nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{what}: another install is at it, waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
