"""PID 1 of the runner: load, then be ready, then back up every night until SIGTERM."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from . import settings as configured
from .files import read
from .load import Load
from .log import log
from .night import STATUS, back_up
from .problem import Problem
from .settings import DATA, STATE, Settings

HOUR = 2  # in the stack's time zone
PATIENCE = timedelta(hours=26)  # a night, and two hours to make up for a late one
SETTLE = 60  # seconds that a new stack gets before its first backup
PASSAGE = Path("/run/store/door.sock")
_ready = threading.Event()
_reason = "starting: loading what is empty"


def last_due(settings: Settings, now: datetime) -> datetime:
    """The latest 02:00 that has passed in the stack's time zone."""
    local = now.astimezone(settings.zone)
    due = local.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    return due if due <= local else (local - timedelta(days=1)).replace(hour=HOUR, minute=0, second=0, microsecond=0)


def next_due(settings: Settings, now: datetime) -> datetime:
    """The next 02:00 in the stack's time zone, whatever the clocks do in between."""
    local = now.astimezone(settings.zone)
    due = local.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    return due if due > local else (local + timedelta(days=1)).replace(hour=HOUR, minute=0, second=0, microsecond=0)


def health(now: float) -> tuple[str, str]:
    """``green``, or ``yellow`` with the reason."""
    status = read(STATUS)
    if status.get("reason"):
        return "yellow", f"the last backup failed: {status['reason']}"
    if not status.get("success"):
        return "yellow", "there is no backup yet"
    age = timedelta(seconds=now - status["success"])
    return ("yellow", f"the last backup is {age} old") if age > PATIENCE else ("green", f"the last backup is {age} old")


def metrics(now: float) -> str:
    """Prometheus text."""
    status = read(STATUS)
    figures = {
        "stele_backup_healthy": int(health(now)[0] == "green"),
        "stele_backup_last_success_timestamp_seconds": status.get("success", 0),
        "stele_backup_size_bytes": status.get("bytes", 0),
        "stele_backup_added_bytes": status.get("added", 0),
        "stele_backup_duration_seconds": status.get("seconds", 0),
    }
    return "".join(f"# TYPE {name} gauge\n{name} {figure}\n" for name, figure in figures.items())


class _Management(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        now = time.time()
        answers = {
            "/live": (200, "alive"),
            "/ready": (200 if _ready.is_set() else 503, _reason),
            "/health": (200, ": ".join(health(now))),
            "/metrics": (200, metrics(now)),
        }
        status, text = answers.get(self.path, (404, "no such resource"))
        body = text.encode() if text.endswith("\n") else text.encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """The health hook asks every second."""


def open_passage(endpoint: str) -> None:
    """Where the store is on this very host's loopback, a socket leads there: a container has a loopback of its own."""
    if PASSAGE.parent.is_dir():
        host, port = urlsplit(endpoint).hostname, urlsplit(endpoint).port
        listen = f"TCP-LISTEN:{port},bind={host},reuseaddr,fork"
        subprocess.Popen(["socat", listen, f"UNIX-CONNECT:{PASSAGE}"], start_new_session=True)


def main() -> int:
    """Until SIGTERM; 1 when a load fails, so that the orchestrator starts it again."""
    global _reason
    signal.signal(signal.SIGTERM, _stop)
    STATE.mkdir(parents=True, exist_ok=True)
    management = ThreadingHTTPServer(("0.0.0.0", 9000), _Management)  # noqa: S104 - the stack's own network
    threading.Thread(target=management.serve_forever, daemon=True).start()
    try:
        settings = configured.load()
        open_passage(settings.storage["endpoint"])
        shutil.rmtree(DATA / "scratch", ignore_errors=True)
        with (DATA / ".load-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            report = Load(settings).run()
    except Problem as problem:
        log(f"cannot start: {problem}")
        return 1
    _reason = f"serving: loaded {', '.join(report['empty']) or 'nothing'}" + (
        f" from {report['from']}" if report["from"] else ""
    )
    log(_reason)
    _ready.set()
    nights(settings)
    return 0


def nights(settings: Settings) -> None:
    """Every night's backup, by one generation at a time; one that was missed is made up for."""
    os.nice(10)  # those who are served come first
    with (DATA / ".stele-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        time.sleep(SETTLE)
        while True:
            now = datetime.now(UTC)
            if not settings.fenced and read(STATUS).get("success", 0) < last_due(settings, now).timestamp():
                try:
                    back_up(settings)
                except Problem as problem:
                    log(f"the backup failed and is tried again in an hour: {problem}")
                    time.sleep(3600)
                    continue
            due = next_due(settings, datetime.now(UTC))
            log(f"the next backup is due at {due.isoformat(timespec='minutes')}")
            while (left := due.timestamp() - time.time()) > 0:
                time.sleep(min(left, 60))  # the clock may be set meanwhile


def _stop(_signal: int, _frame: FrameType | None) -> None:
    log("stopped")
    sys.stdout.flush()
    os._exit(0)  # a backup that is cut off leaves nothing that counts
