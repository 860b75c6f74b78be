"""Runs a program, and all that it starts, only as far as the machine is idle: those who are served come first.

Priorities would not do that. They count among the processes of one container, and the kernel gives each container the
same weight; nor is a limit for the container the answer, because a load has to be fast. So the program is stopped for
most of every tenth of a second, and the more idle the machine is meanwhile the longer it runs in the next one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PERIOD = 0.1  # seconds
LEAST, MOST = 0.05, 0.8  # of a period that it runs: a night has to end, and what is idle shows while it stands still
MEMORY = 0.9  # how much of what was known of the machine stays in each period


def paced(command: Sequence[str], hurry: Path) -> int:
    """Run a program to its end; its exit code. As long as there is a file ``hurry``, it is not held up.

    However it ends, killed or by an exception here, all that it started ends with it.
    """
    # Killed with whoever would let it go on (prctl(2), PR_SET_PDEATHSIG).
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command])
    idle, stopped = 0.0, [process.pid]
    try:
        while True:
            share = 1 if hurry.exists() else min(MOST, max(LEAST, idle**3))
            with suppress(subprocess.TimeoutExpired):
                return process.wait(share * PERIOD)
            if share == 1:
                continue
            before = _processor_time()
            stopped = _stop(process.pid)
            time.sleep((1 - share) * PERIOD)
            now = _processor_time()
            for pid in stopped:
                _send(pid, signal.SIGCONT)
            if now[1] > before[1]:
                idle = MEMORY * idle + (1 - MEMORY) * (now[0] - before[0]) / (now[1] - before[1])
    finally:
        if process.poll() is None:
            stopped = _stop(process.pid)
        if process.returncode is None or process.returncode < 0:
            for pid in stopped:  # of one that was killed these are the last known, a tenth of a second ago
                _send(pid, signal.SIGKILL)
        process.wait()


def _stop(root: int) -> list[int]:
    """Stop a process and everything below it; also what is started while this looks."""
    stopped: list[int] = []
    while new := [pid for pid in _family(root) if pid not in stopped]:
        for pid in new:
            _send(pid, signal.SIGSTOP)
        stopped += new
    return stopped


def _family(root: int) -> list[int]:
    """A process and its descendants, in whatever session or group they are."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended
                parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:  # grows meanwhile
        found += children.get(pid, [])
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _processor_time() -> tuple[int, int]:
    """What all processors were idle for since the machine started, and all in all. Who waits for a disk is not idle."""
    figures = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return figures[3], sum(figures)
