"""Run one command of a `command:local:Command`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from bridge.errors import PluginError

Inputs = dict[str, Any]
STDOUT = ("stdout", "stdoutAndStderr", None)
STDERR = ("stderr", "stdoutAndStderr", None)
#: A command that is asked to end gets this long before it is killed.
END_SECONDS = 5.0


def run(
    command: str, inputs: Inputs, previous: Inputs, log: Callable[[str], None], stop: threading.Event
) -> tuple[str, str]:
    """Standard output and error, without the last newline.

    `previous` holds the outputs of the run before; `log` gets each line as it comes. Raises PluginError when the
    command cannot be started, fails, or is cancelled; the message carries its output.
    """
    arguments = [*(inputs.get("interpreter") or ["/bin/sh", "-c"]), command]
    stdin = inputs.get("stdin") or ""
    try:
        process = subprocess.Popen(
            arguments,
            cwd=inputs.get("dir") or None,
            env=_environment(inputs, previous),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise PluginError(f"{_why(error, inputs, arguments)}: running {json.dumps(command)}:\n") from None
    logging = inputs.get("logging")
    reader = _Reader(process, log)
    reader.follow(process.stdout, reader.out, logging in STDOUT)
    reader.follow(process.stderr, reader.err, logging in STDERR)
    _feed(process, stdin)
    _await(process, stop)
    reader.join()
    if stop.is_set():
        raise PluginError(f"cancelled: running {json.dumps(command)}:\n{reader.mixed()}")
    if process.returncode != 0:
        raise PluginError(f"{_status(process.returncode)}: running {json.dumps(command)}:\n{reader.mixed()}")
    return reader.text(reader.out), reader.text(reader.err)


def _environment(inputs: Inputs, previous: Inputs) -> dict[str, str]:
    environment = {**os.environ, **(inputs.get("environment") or {})}
    if inputs.get("addPreviousOutputInEnv") is not False:
        for key, name in (("stdout", "PULUMI_COMMAND_STDOUT"), ("stderr", "PULUMI_COMMAND_STDERR")):
            if previous.get(key):
                environment[name] = previous[key]
    return environment


def _why(error: OSError, inputs: Inputs, arguments: list[str]) -> str:
    if inputs.get("dir") and not Path(inputs["dir"]).is_dir():
        return f"chdir {inputs['dir']}: no such file or directory"
    return f"fork/exec {arguments[0]}: {(error.strerror or str(error)).lower()}"


def _status(code: int) -> str:
    return f"exit status {code}" if code >= 0 else f"signal: {signal.strsignal(-code) or -code}".lower()


def _feed(process: subprocess.Popen[bytes], stdin: str) -> None:
    """Write the input beside the reading of the output, or a command that fills its output would block both."""
    stream = process.stdin
    if stream is None:
        return

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), stream:
            stream.write(stdin.encode())

    threading.Thread(target=write, daemon=True).start()


def _await(process: subprocess.Popen[bytes], stop: threading.Event) -> None:
    while process.poll() is None:
        if not stop.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
            continue
        _signal(process, signal.SIGTERM)
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


class _Reader:
    """Collects both outputs, each and mixed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Callable[[str], None]) -> None:
        self.process = process
        self.log = log
        self.out: list[bytes] = []
        self.err: list[bytes] = []
        self.both: list[bytes] = []
        self.threads: list[threading.Thread] = []

    def follow(self, stream: IO[bytes] | None, into: list[bytes], shown: bool) -> None:
        """Read a stream to its end on a thread of its own."""
        assert stream is not None

        def read() -> None:
            with stream:
                for line in stream:
                    into.append(line)
                    self.both.append(line)
                    if shown:
                        self.log(line.decode(errors="replace").rstrip("\n"))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        self.threads.append(thread)

    def join(self) -> None:
        for thread in self.threads:
            thread.join()

    def mixed(self) -> str:
        return b"".join(self.both).decode(errors="replace")

    @staticmethod
    def text(parts: list[bytes]) -> str:
        return b"".join(parts).decode(errors="replace").removesuffix("\n")
