"""Processes that outlive the command that started them: identity, liveness, signals."""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from home import read_json, write_json


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same pid.

    `start` is the kernel's start time (clock ticks since boot), `boot` the kernel's boot id.
    """

    pid: int
    start: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this pid now; None when there is none or it is a zombie."""
        start = _start_time(pid)
        return None if start is None else cls(pid, start, boot_id())

    @property
    def alive(self) -> bool:
        return self == Process.of(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to exactly this process; a process that is gone is no error."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The descriptor pins the pid: only now is the comparison free of a race with its reuse.
            if self.alive:
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)

    def wait(self, seconds: float) -> bool:
        """Wait for the end; False when it still runs after `seconds`."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            return not self.alive or bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)

    def stop(self, patience: float) -> None:
        """SIGTERM, and SIGKILL after `patience` seconds."""
        self.signal(signal.SIGTERM)
        if not self.wait(patience):
            self.signal(signal.SIGKILL)
            self.wait(10)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_time(pid: int) -> int | None:
    try:
        # The command name may hold spaces and parentheses: fields count from the last ")".
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def arguments(pid: int) -> list[str]:
    """The command line of a process, empty when it is gone or not ours to read."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in raw.split(b"\0")[:-1]]


def all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def running(argv: list[str]) -> Process | None:
    """The process that runs exactly this command line, if any (a script shows after its interpreter)."""
    for pid in all_pids():
        shown = arguments(pid)
        if shown and shown[-len(argv) :] == argv and pid != os.getpid():
            return Process.of(pid)
    return None


def load(path: Path) -> Process | None:
    """The recorded process, if it is the one that still runs."""
    record = read_json(path)
    try:
        process = Process(int(record["pid"]), int(record["start"]), str(record["boot"]))
    except (KeyError, ValueError):
        return None
    return process if process.alive else None


def save(path: Path, process: Process, spec: str = "") -> None:
    record = {"pid": process.pid, "start": process.start, "boot": process.boot, "spec": spec, "since": time.time()}
    write_json(path, record)
