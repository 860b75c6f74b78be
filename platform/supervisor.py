"""Keeps the parts running: starts, adopts, health-checks and restarts them.

The supervisor holds nothing but watches: a part is a session of its own with a record (pid and start time)
in the run folder. A supervisor that is killed takes no part along, and the next one adopts them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import processes
from home import Home, read_json, write_json
from parts import Part, load_parts
from processes import Process

TICK = 2.0
"""Seconds between two health checks."""
LONGEST_PAUSE = 30.0
"""Seconds: the ceiling of the pause before a restart, which doubles with each failure in a row."""
CRASH_LOOP = 3
"""Failures in a row after which a part is reported as a crash loop."""
LARGEST_LOG = 20 << 20


class Watch:
    """One part and what the supervisor knows of it."""

    def __init__(self, home: Home, part: Part) -> None:
        self.home = home
        self.part = part
        self.process: Process | None = None
        self.failures = 0
        self.restarts = -1
        self.next_start = 0.0
        self.last_answer = 0.0
        self.state = "starting"

    def adopt(self) -> None:
        """Take over the part if it runs already, whoever started it; end it when its specification differs."""
        record = self.part.record(self.home)
        self.process = processes.load(record)
        if self.process is None:
            self.process = processes.running(list(self.part.argv))
            if self.process is not None:
                processes.save(record, self.process, self.part.spec)
        elif read_spec(record) != self.part.spec:
            self.process.stop(self.part.patience)
            self.process = None
        if self.process is not None:
            self.restarts, self.last_answer = 0, time.monotonic()

    def step(self) -> None:
        """Bring the part one step closer to healthy."""
        now = time.monotonic()
        if self.process is not None and not self.process.alive:
            self.failed(now)
        if self.process is None:
            if now >= self.next_start:
                self._start(now)
            return
        if self.part.answers():
            self.last_answer, self.state = time.monotonic(), "healthy"
            self.failures = 0
        elif time.monotonic() - self.last_answer > 2 * self.part.patience:
            note(self.home, f"{self.part.name} (pid {self.process.pid}) does not answer: restarting it")
            self.process.stop(self.part.patience)
            self.failed(now)
        else:
            self.state = "not answering" if self.failures == 0 else self.state

    def failed(self, now: float) -> None:
        """It ended, or could not be started: the next try comes after a pause that grows."""
        self.failures += 1
        pause = 0.0 if self.failures == 1 else min(LONGEST_PAUSE, 2.0 ** (self.failures - 2))
        self.next_start = now + pause
        self.process = None
        self.state = "crash loop" if self.failures >= CRASH_LOOP else "restarting"
        note(self.home, f"{self.part.name} ended ({self.failures} in a row), next start in {pause:.0f} s")

    def _start(self, now: float) -> None:
        for path in self.part.stale:
            Path(path).unlink(missing_ok=True)
        if self.part.before:
            subprocess.run(self.part.before, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        with self.part.log(self.home).open("ab") as log:
            child = subprocess.Popen(
                self.part.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=self.part.environ(),
            )
        self.process = Process.of(child.pid)
        self.restarts += 1
        self.last_answer = now
        if self.process is None:
            self.failed(now)
            return
        processes.save(self.part.record(self.home), self.process, self.part.spec)
        note(self.home, f"{self.part.name} started, pid {child.pid}")


def read_spec(record: Path) -> str:
    """The specification with which the recorded process was started."""
    return str(read_json(record).get("spec", ""))


class Supervisor:
    """The loop. SIGTERM ends it and leaves the parts alone; SIGHUP reads the list of parts again."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.watches: dict[str, Watch] = {}
        self.asked = ""
        self.ending = False
        self.reload = True
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGHUP, self._on_hup)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _on_term(self, *_: object) -> None:
        self.ending = True

    def _on_hup(self, *_: object) -> None:
        self.reload = True

    def run(self) -> None:
        while not self.ending:
            if not (self.home.conf / "parts.json").exists():
                # Somebody deleted the checkout: nobody could stop the parts any more.
                self._end_parts()
                return
            try:
                self._tick()
            except OSError as error:
                # A full disk must not end the supervision.
                with contextlib.suppress(OSError):
                    note(self.home, f"cannot go on, trying again: {error}")
            self._pause()

    def _tick(self) -> None:
        if self.reload:
            self.reload = False
            self._load()
        for watch in self.watches.values():
            try:
                watch.step()
            except (
                OSError
            ) as error:  # a program that is gone, a full disk: the other parts are looked after all the same
                if watch.process is None:
                    watch.failed(time.monotonic())
                with contextlib.suppress(OSError):
                    note(self.home, f"{watch.part.name}: {error}")
            truncate_log(watch.part.log(self.home))
        truncate_log(self.home.log / "supervisor.log")
        self._report()

    def _end_parts(self) -> None:
        for watch in self.watches.values():
            if watch.process is not None:
                watch.process.stop(watch.part.patience)
        shutil.rmtree(self.home.run, ignore_errors=True)

    def _load(self) -> None:
        """Take up the list that `up` wrote; `asked` names the request, so that `up` knows the answer to it."""
        self.asked = str(read_json(self.home.conf / "parts.json").get("asked"))
        wanted = {part.name: part for part in load_parts(self.home)}
        for name in self.watches.keys() - wanted.keys():
            process = self.watches.pop(name).process
            if process is not None:
                process.stop(30)
        for name, part in wanted.items():
            if not self._serves(part):
                self.watches[name] = Watch(self.home, part)
                self.watches[name].adopt()

    def _serves(self, part: Part) -> bool:
        """Whether the running process has this specification (its configuration files may have changed)."""
        watch = self.watches.get(part.name)
        return watch is not None and watch.process is not None and read_spec(part.record(self.home)) == part.spec

    def _report(self) -> None:
        rows = {
            name: {"state": watch.state, "restarts": max(watch.restarts, 0), "failures": watch.failures}
            for name, watch in self.watches.items()
        }
        write_json(self.home.run / "state.json", {"asked": self.asked, "parts": rows})

    def _pause(self) -> None:
        """Wait for the next tick, or less when a part ends, a restart is due or a signal comes."""
        descriptors = [self._wake]
        wait = TICK if all(watch.state == "healthy" for watch in self.watches.values()) else 0.25
        for watch in self.watches.values():
            if watch.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    descriptors.append(os.pidfd_open(watch.process.pid))
        select.select(descriptors, [], [], wait)
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 512)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def note(home: Home, line: str) -> None:
    with (home.log / "supervisor.log").open("a") as log:
        log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}\n")


def truncate_log(path: Path) -> None:
    """Keep one older copy of a large log; the daemon appends, so it goes on at the new beginning."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LARGEST_LOG:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)


def code() -> str:
    """Hash of this program's own files."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def serves(home: Home) -> bool:
    """Whether a supervisor with this code runs."""
    return processes.load(record_path(home)) is not None and read_spec(record_path(home)) == code()


def record_path(home: Home) -> Path:
    return home.run / "supervisor.json"


def start(home: Home, command: list[str], environ: dict[str, str]) -> None:
    """Start the supervisor detached from this terminal, or make the running one read its list again.

    One that runs an older version of this code is replaced; its parts go on meanwhile.
    """
    current = processes.load(record_path(home)) or processes.running(command)
    if current is not None and read_spec(record_path(home)) == code():
        current.signal(signal.SIGHUP)
        return
    if current is not None:
        current.stop(30)
    with (home.log / "supervisor.log").open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/", env=environ
        )
    process = Process.of(child.pid)
    if process is not None:
        processes.save(record_path(home), process, code())


def main(home: Home) -> None:
    """The hidden command `supervise`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(hard, 1 << 20) if os.getuid() == 0 else hard
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    Supervisor(home).run()
