"""One `up` or `stop` at a time, and how the platform speaks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from home import Home, check_run, folder_mend
from problem import Problem


def say(line: str) -> None:
    """A progress line. Standard output is kept for what scripts read."""
    print(f"platform: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def only_one(home: Home) -> Iterator[None]:
    """Let one command change this checkout's platform at a time; a second one says that it waits.

    Works on a full disk too, for `stop`. Problem when the lock cannot be made.
    """
    check_run(home)
    # Not in a folder that `stop --delete-data` deletes: whoever waits must wait for the same file.
    with _opened(home) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            say(f"waiting for another `platform/local` that works on this checkout (pid {lock.read().strip()})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Unbuffered and only for whoever waits: a full disk must not matter.
        with contextlib.suppress(OSError):
            os.truncate(lock.fileno(), 0)
            os.write(lock.fileno(), str(os.getpid()).encode())
        try:
            yield
        finally:
            drop_empty_run(home)


def _opened(home: Home) -> TextIO:
    path = home.stele / "platform.lock"
    try:
        home.stele.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except OSError as error:
        raise Problem(f"cannot write {path} ({error.strerror})", folder_mend(error)) from error


def drop_empty_run(home: Home) -> None:
    """Leave no folder outside the checkout when nothing was started."""
    for folder in (home.run / "store", home.run):  # the first is the store's passage (store.py)
        with contextlib.suppress(OSError):
            folder.rmdir()
