"""One shell on a host, over SSH, for whatever testinfra asks.

A session for each command would be a process, a login and its ends: seconds, where the processor is emulated.
"""

from __future__ import annotations

import os
import re
import secrets
import selectors
import shlex
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

LIMIT = 300  # seconds that one command may take
_BLOCK = 1 << 16
_TAIL = 100  # bytes that the mark and an exit status fit into


class ShellError(Exception):
    """The shell is gone, or a command took too long: one line, with the host, and what SSH said."""


class Shell(BaseBackend):  # type: ignore[misc]  # testinfra ships no types of its own
    """Testinfra's backend over one process: ``ssh`` are its words up to the host. Nobody else reads or writes there."""

    NAME = "shell"

    def __init__(self, hostname: str, ssh: Sequence[str], limit: float = LIMIT) -> None:
        super().__init__(hostname)
        self._limit = limit
        mark = f"end-{secrets.token_hex(8)}"  # no command says that
        self._say_end = f"status=$?; echo {mark} $status; echo {mark} $status >&2"
        self._end = re.compile(rf"{mark} (\d+)\n\Z".encode())
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([*ssh, "exec bash"], bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe)

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        """What testinfra asks for. In a subshell: no command changes the folder or the variables of the next one."""
        text = self.get_command(command, *args)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # reading says why
            self._process.stdin.write(f"(eval {shlex.quote(text)}) </dev/null; {self._say_end}\n".encode())
        status, output, errors = self._answer(text)
        return self.result(status, text.encode(), output, errors)

    def _answer(self, text: str) -> tuple[int, bytes, bytes]:
        """Exit status, output and errors of the command that was sent."""
        deadline = time.monotonic() + self._limit
        streams = [self._process.stdout, self._process.stderr]
        said = [bytearray(), bytearray()]
        found: list[re.Match[bytes] | None] = [None, None]
        with selectors.DefaultSelector() as selector:
            for index, stream in enumerate(streams):
                assert stream is not None
                selector.register(stream, selectors.EVENT_READ, index)
            while not all(found):
                ready = selector.select(max(0, deadline - time.monotonic()))
                if not ready:
                    self._process.kill()
                    raise ShellError(f"{self.hostname}: {text}: not within {self._limit:g} s")
                for key, _ in ready:
                    block = os.read(key.fd, _BLOCK)
                    if not block:
                        raise ShellError(
                            f"{self.hostname}: {text}: the connection is lost{self._last_words(bytes(said[1]))}"
                        )
                    said[key.data] += block
                    found[key.data] = self._end.search(said[key.data], max(0, len(said[key.data]) - _TAIL))
        ends = [match for match in found if match]
        output, errors = (bytes(text[: match.start()]) for text, match in zip(said, ends, strict=True))
        return int(ends[0][1]), output, errors

    def _last_words(self, heard: bytes) -> str:
        """Of SSH, which has ended."""
        assert self._process.stderr is not None
        lines = (heard + self._process.stderr.read()).decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


def view(shell: Shell) -> Host:
    """Testinfra's view of a host, over this shell."""
    host = Host(shell)
    shell.set_host(host)
    return host
