"""Runs a program, and all that it starts, on little of what the machine leaves over: those who are served come first.

Priorities would not do that. They count among the processes of one container, and the kernel gives each container the
same weight; nor is a limit for the container the answer, because a load has to be fast. So the program is stopped most
of the time. It runs for a moment whenever its processor time, and that of this pacing, is below a share of what all
processors were idle for. Callers wait longer in proportion to what is idle less, so that a share of it bounds what they
notice, whatever the load. Where next to nothing is idle, it is a small share of all. Both double with every hour: a
night has to end.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, process_time, sleep
from typing import NamedTuple

SHARE = 0.025  # of idle processor time. What the store and the database do for a night comes to half as much again
LEAST = 0.005  # of all processor time, where next to nothing is idle
DOUBLES = 3600  # seconds
RUN = 0.003  # seconds at a time: the kernel gives nobody less, so that no caller waits much longer for one
PAUSE, SPENT = 0.03, 0.25  # seconds in between, and until it is looked again whether there is an allowance
SAVED = 0.1  # seconds of processor time at most that are kept for later while it waits for something else
TICKS = os.sysconf("SC_CLK_TCK")  # a second, in /proc


class Process(NamedTuple):
    """One process, and the ticks of processor time that it and its ended children have taken."""

    pid: int
    ticks: int


def paced(command: Sequence[str], hurry: Path) -> int:
    """Run a program to its end; its exit code. As long as there is a file ``hurry``, it is not held up.

    However it ends, killed or by an exception here, all that it started ends with it.
    """
    # Killed with whoever would let it go on (prctl(2), PR_SET_PDEATHSIG).
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command])
    allowance = _Allowance()
    family = [Process(process.pid, 0)]
    hurried = False
    try:
        while True:
            was_hurried, hurried = hurried, hurry.exists()
            with suppress(subprocess.TimeoutExpired):
                return process.wait(1 if hurried else RUN)
            if hurried:
                family = _family(process.pid)
                continue
            family = _stop(process.pid)
            if was_hurried:
                allowance.forgive(family)
            sleep(PAUSE)
            while allowance.is_spent(family) and not hurry.exists():
                sleep(SPENT)
            for each in family:
                _send(each.pid, signal.SIGCONT)
    finally:
        stopped = None
        while process.poll() is None and (found := _stop(process.pid)) != stopped:
            family = stopped = found  # until nothing is started any more
        if process.returncode is None or process.returncode < 0:
            for each in family:  # of one that was killed these are the last known, a moment ago
                _send(each.pid, signal.SIGKILL)
        process.wait()


class _Allowance:
    """The processor time that may be taken."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._left = 0.0  # seconds
        self.forgive([])

    def forgive(self, family: Sequence[Process]) -> None:
        """What was taken until now was taken in a hurry, and is not owed."""
        self._idle, self._all = _processor_time()
        self._taken = _taken(family)

    def is_spent(self, family: Sequence[Process]) -> bool:
        """Whether a program has taken, since the last question, what there was, and what has come since."""
        idle, all_ = _processor_time()
        taken = _taken(family)
        grown = 2 ** ((monotonic() - self._began) // DOUBLES)
        come = max(min(1, SHARE * grown) * (idle - self._idle), min(1, LEAST * grown) * (all_ - self._all))
        # Ended processes that nobody waited for take their time along: what is taken may seem less than before.
        self._left = min(SAVED, self._left + come - max(0, taken - self._taken))
        self._idle, self._all, self._taken = idle, all_, taken
        return self._left < 0


def _taken(family: Sequence[Process]) -> float:
    """Seconds of processor time that a program has taken, and this pacing."""
    return sum(each.ticks for each in family) / TICKS + process_time()


def _stop(root: int) -> list[Process]:
    """Stop a process and everything below it. What is started in this very moment goes on until the next time."""
    family = _family(root)
    for each in family:
        _send(each.pid, signal.SIGSTOP)
    return family


def _family(root: int) -> list[Process]:
    """A process and its descendants, in whatever session or group they are."""
    known: dict[int, Process] = {}
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - ten times a second, and this is the fastest
        if entry.isdigit():
            with suppress(OSError):  # it has ended
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(") ")[2].split()
                known[int(entry)] = Process(int(entry), sum(map(int, fields[11:15])))
                children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:  # grows meanwhile
        found += children.get(pid, [])
    return [known.get(pid, Process(pid, 0)) for pid in found]


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _processor_time() -> tuple[float, float]:
    """Seconds that all processors together were idle for since the machine started, and that there were. Who waits for
    a disk is not idle."""
    with Path("/proc/stat").open() as figures:
        ticks = [int(word) for word in figures.readline().split()[1:9]]
    return ticks[3] / TICKS, sum(ticks) / TICKS
