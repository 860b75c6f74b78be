"""Load on a front door from a process of its own, so that nothing here slows it down."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.lab.ground import CHECKOUT
from bench.lab.workspace import LabError, wait_until

READ_BACK_LIMIT = 600  # seconds; after a hundred thousand requests there are sixty thousand orders to read


class Load:
    """``with Load(url, folder) as load: ...`` loads until the block ends; then ``load.report`` is what it saw."""

    def __init__(self, url: str, folder: Path, *, rate: float = 60, connections: int = 24, name: str = "load") -> None:
        self._output = folder / f"{name}.json"
        self._log = folder / f"{name}.log"
        self._each = folder / f"{name}.each.json"
        self._output.unlink(missing_ok=True)
        self._command = [sys.executable, "-m", "bench.load", url, str(self._output)]
        self._command += ["--rate", str(rate), "--connections", str(connections), "--each", str(self._each)]
        self.report: dict[str, Any] = {}

    def __enter__(self) -> Load:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, cwd=CHECKOUT, stdout=log, stderr=subprocess.STDOUT)
        wait_until("the load's first hundred answers", self._loading, 180)
        return self

    def _loading(self) -> bool:
        if self._process.poll() is not None:
            raise LabError(f"the load ended by itself:\n{self._log.read_text()}")
        return "load: 100 requests" in self._log.read_text()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(READ_BACK_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        if kind is None or self._output.exists():
            self.report = json.loads(self._output.read_text())

    def latencies(self) -> list[tuple[float, float]]:
        """Of every request of a load that has ended: when it was due (time.monotonic), and its latency in seconds."""
        return [(due, latency) for due, latency in json.loads(self._each.read_text())]

    def so_far(self) -> int:
        """How many requests it has made, to the last thousand or so."""
        told = [line.split() for line in self._log.read_text().splitlines() if line.startswith("load: ")]
        return int(told[-1][1]) if told else 0

    def wait(self, seconds: float) -> None:
        """Let it go on for a while; LabError when it ends by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise LabError(f"the load ended by itself with exit code {self._process.wait(seconds)}")

    def assert_spotless(self) -> None:
        """Every request answered as it should be, every acknowledged order readable."""
        report = self.report
        assert report["requests"] > 100, report
        assert report["failed"] == 0, json.dumps(
            {"reasons": report["reasons"], "failures": report["failures"]}, indent=1
        )
        assert report["acknowledged_unreadable"] == 0, report["unreadable"]
