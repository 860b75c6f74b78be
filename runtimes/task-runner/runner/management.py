"""What the runner tells about itself: health, and the last backup as metrics."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .files import read
from .night import STATUS, last_success

PATIENCE = timedelta(hours=26)  # a night, and two hours to make up for a late one


def health(now: float) -> tuple[str, str]:
    """``green``, or ``yellow`` with the reason."""
    status = read(STATUS)
    if status.get("reason"):
        return "yellow", f"the last backup failed: {status['reason']}"
    if not (success := last_success(now)):
        return "yellow", "there is no backup yet"
    age = timedelta(seconds=max(0, int(now - success)))
    # By its end: a long night is late by nothing.
    late = now - status.get("finished", success) > PATIENCE.total_seconds()
    return "yellow" if late else "green", f"the last backup is {age} old"


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


class _Answers(BaseHTTPRequestHandler):
    """The management port, as every family has it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        now = time.time()
        answers = {
            "/live": (200, "alive"),
            "/ready": (200, getattr(self.server, "reason", "")),
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
        """The health hook asks all the time."""


class Management(ThreadingHTTPServer):
    """``/live``, ``/ready``, ``/health`` and ``/metrics`` on the stack's own network; ``reason``: what is going on."""

    daemon_threads = True

    def __init__(self, port: int = 9000) -> None:
        super().__init__(("0.0.0.0", port), _Answers)  # noqa: S104
        self.reason = "starting: loading what is empty"
        threading.Thread(target=self.serve_forever, daemon=True).start()
