"""Runs the user's program in a process of its own, and ends it when asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_EXECUTOR = Path(__file__).with_name("executor.py")
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class ProgramSpec:
    """Everything the executor needs. `settings` are the arguments of `pulumi.runtime.Settings`.

    It travels through a pipe: command lines and environments of processes can be read by others, and `config` holds
    the stack's secrets.
    """

    directory: str
    entry_point: str
    arguments: list[str]
    environment: dict[str, str]
    settings: dict[str, Any]
    config: dict[str, str]
    secret_keys: list[str]


class ProgramRunner:
    """One executor at a time; the first one can be started ahead of the request, so that its imports cost no time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prepared: _Executor | None = None
        self._running: list[subprocess.Popen[bytes]] = []

    def prepare(self) -> None:
        """Starts an executor under this Python, which imports the SDK and waits."""
        # Tracing patches gRPC before the SDK is imported, from variables that only come with the request.
        if "PULUMI_OTEL_EXPORTER_OTLP_ENDPOINT" not in os.environ:
            self._prepared = _Executor(Path(sys.executable), dict(os.environ))

    def run(self, python: Path, spec: ProgramSpec) -> int:
        """Runs the program to its end and returns the exit code; negative when a signal ended it."""
        executor = self._take(python, spec.environment)
        with self._lock:
            self._running.append(executor.process)
        try:
            executor.send(spec)
            return executor.process.wait()
        finally:
            with self._lock:
                self._running.remove(executor.process)

    def interrupt(self) -> None:
        """Ctrl-C: lets the running programs clean up, and ends those that do not within a few seconds."""
        with self._lock:
            processes = list(self._running)
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def discard(self) -> None:
        """Ends the prepared executor if no request came for it."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.process.kill()
            prepared.process.wait()

    def _take(self, python: Path, environment: dict[str, str]) -> _Executor:
        # A virtual environment is known by its folder: its bin/python is a link to the interpreter it was made from.
        if python.parent == Path(sys.executable).parent:
            with self._lock:
                prepared, self._prepared = self._prepared, None
            if prepared is not None and prepared.process.poll() is None:
                return prepared
        self.discard()
        return _Executor(python, environment)


class _Executor:
    """A process of executor.py and the pipe that tells it what to run."""

    def __init__(self, python: Path, environment: dict[str, str]) -> None:
        reading, self._writing = os.pipe()
        self.process = subprocess.Popen(
            # -P: the program's own folder comes first on sys.path, never the executor's.
            [python, "-P", _EXECUTOR, str(reading), str(os.getpid())],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[reading],
            # The engine signals the host's group. What the program gets, and when, is the host's to decide.
            process_group=0,
        )
        os.close(reading)

    def send(self, spec: ProgramSpec) -> None:
        with os.fdopen(self._writing, "wb") as pipe:
            pipe.write(json.dumps(asdict(spec)).encode())
