"""What is done to a host, step by step: progress on standard error, patience, and errors that name host and step."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from docker.errors import DockerException

from hosts.wanted import HostError

_FIRST = "looks"


class Steps:
    """The steps of one host, each of which has ``window`` seconds."""

    def __init__(self, host: str, window: int) -> None:
        self.host, self._window, self._step = host, window, _FIRST

    @property
    def begun(self) -> bool:
        """Whether anything is done already: what is refused before that says nothing about the machine."""
        return self._step != _FIRST

    def begin(self, step: str) -> None:
        """Say what is done now."""
        self._step = step
        with suppress(OSError):  # whoever listened was killed: what has begun is brought to its end all the same
            print(f"host {self.host}: {step}", file=sys.stderr, flush=True)

    def error(self, reason: object) -> HostError:
        """What to raise when this step fails."""
        text = " ".join(str(reason).split())
        return HostError(text if text.startswith("host ") else f"host {self.host}: {self._step}: {text}")

    def until(self, what: str, condition: Callable[[], Any]) -> Any:
        """Poll until it holds, patiently towards engines that are just starting or leaving. Raises HostError."""
        deadline, last = time.monotonic() + self._window, ""
        while time.monotonic() < deadline:
            try:
                if value := condition():
                    return value
            except (DockerException, OSError) as error:
                last = f" ({error})"
            time.sleep(0.5)
        raise self.error(f"not within {self._window} s: {what}{last}")
