"""PID 1 of the runner: load, then be ready, then back up every night until SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from . import settings as configured
from .files import lock, locked
from .load import Load
from .log import log
from .management import Management
from .night import HURRY, last_success
from .pacing import paced
from .problem import of_the_disk, problem_of
from .settings import DATA, STATE, Settings

HOUR = 2  # in the stack's time zone
AGAIN = 5  # seconds between tries to load
SETTLE = 60  # seconds that a new stack gets before its first backup
PASSAGE = Path("/run/store/door.sock")
NIGHT = (sys.executable, "-u", "-m", "runner", "backup")


def last_due(settings: Settings, now: datetime) -> datetime:
    """The latest 02:00 that has passed in the stack's time zone."""
    today = _due(now.astimezone(settings.zone))
    return today if today.timestamp() <= now.timestamp() else _due(today - timedelta(days=1))


def next_due(settings: Settings, now: datetime) -> datetime:
    """The next 02:00 in the stack's time zone, whatever the clocks do in between."""
    return _due(last_due(settings, now) + timedelta(days=1))


def _due(local: datetime) -> datetime:
    """02:00 of that day: of two when the clock goes back the first, and where it skips 02:00, an hour after 01:00."""
    return local.replace(hour=HOUR, minute=0, second=0, microsecond=0, fold=0)


def open_passage(endpoint: str) -> None:
    """Where the store is on this very host's loopback, a socket leads there: a container has a loopback of its own."""
    host, port = urlsplit(endpoint).hostname, urlsplit(endpoint).port
    if PASSAGE.parent.is_dir() and not _open_already(host, port):
        listen = f"TCP-LISTEN:{port},bind={host},reuseaddr,fork"
        subprocess.Popen(["socat", listen, f"UNIX-CONNECT:{PASSAGE}"], start_new_session=True)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not _open_already(host, port):  # a silent store behind it is told later
            time.sleep(0.05)


def _open_already(host: str | None, port: int | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host or "", port or 80)) == 0


def main() -> int:
    """Until SIGTERM. What fails is told and tried again: the runtimes that run need no runner."""
    signal.signal(signal.SIGTERM, _stop)
    STATE.mkdir(parents=True, exist_ok=True)
    management = Management()
    while True:
        try:
            settings = configured.load()
            report = load(settings)
            break
        except Exception as error:  # noqa: BLE001 - PID 1 goes on, and says why
            management.reason = f"cannot start: {problem_of(error)}"
        log(management.reason)
        time.sleep(AGAIN)
    print(f"loaded: {json.dumps(report, sort_keys=True)}", flush=True)
    origin = f" from {report['from']}" if report["from"] else ""
    management.reason = f"serving: loaded {', '.join(report['empty']) or 'nothing'}{origin}"
    log(management.reason)
    nights(settings)
    return 0


def load(settings: Settings) -> dict[str, Any]:
    """Load what is empty; one generation at a time."""
    open_passage(settings.storage["endpoint"])
    with (DATA / ".load-lock").open("w") as file:
        if not locked(file):
            log("another generation of this runner loads; waiting for it")
            lock(file)
        return Load(settings).run()


def nights(settings: Settings) -> None:
    """Every night's backup, by one generation at a time; one that was missed is made up for."""
    with (DATA / ".stele-lock").open("w") as file:
        lock(file)
        time.sleep(SETTLE)
        while True:
            now = datetime.now(UTC)
            missing = not settings.fenced and last_success(now.timestamp()) < last_due(settings, now).timestamp()
            if missing and not _backed_up():
                log("the backup is tried again in an hour")
                time.sleep(3600)
                continue
            due = next_due(settings, datetime.now(UTC))
            log(f"the next backup is due at {due.isoformat(timespec='minutes')}")
            ended: set[int] = set()
            while (left := due.timestamp() - time.time()) > 0:
                time.sleep(min(left, 60))  # the clock may be set meanwhile
                ended = reap(ended)


def reap(before: set[int]) -> set[int]:
    """Collect orphans that have ended, such as the rclone of every restic: they come to PID 1. Returns the others.

    Children of its own are waited for where they were started. Who had ended at the last look is nobody's.
    """
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it is gone
            state, parent = path.read_text().rpartition(") ")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                found.add(int(path.parent.name))
    for pid in found & before:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return found - before


def _backed_up() -> bool:
    """A night; what went wrong has been told."""
    try:
        return paced(NIGHT, HURRY) == 0
    except OSError as error:
        log(f"the backup cannot go on: {of_the_disk(error)}")
        return False


def _stop(_signal: int, _frame: FrameType | None) -> None:
    log("stopped")
    sys.stdout.flush()
    os._exit(0)  # a backup that is cut off leaves nothing that counts
