"""One `up` or `stop` at a time, and how the platform speaks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator

from home import Home, make_folders
from problem import Problem


def say(line: str) -> None:
    """A progress line. Standard output is kept for what scripts read."""
    print(f"platform: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def only_one(home: Home) -> Iterator[None]:
    """Let one command change this checkout's platform at a time; a second one says that it waits."""
    try:
        make_folders(home)
    except Problem:
        drop_empty_run(home)
        raise
    # Not in a folder that `stop --delete-data` deletes: whoever waits must wait for the same file.
    with (home.stele / "platform.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            say(f"waiting for another `platform/local` that works on this checkout (pid {lock.read().strip()})")
            fcntl.flock(lock, fcntl.LOCK_EX)
            make_folders(home)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            drop_empty_run(home)


def drop_empty_run(home: Home) -> None:
    """Leave no folder outside the checkout when nothing was started."""
    with contextlib.suppress(OSError):
        home.run.rmdir()
