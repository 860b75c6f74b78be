"""Waiting for the engine, in a way that the engine of Pulumi can end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from bridge.errors import PluginError

T = TypeVar("T")
POLL_SECONDS = 0.2


class CancelledError(PluginError):
    """The person at the terminal, or the engine, ended the operation."""

    def __init__(self) -> None:
        super().__init__("cancelled while waiting for the Docker engine")


class WaitTimeoutError(PluginError):
    """The wait was in vain."""


class Clock:
    """Waits that end when `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    @classmethod
    def unstoppable(cls) -> Clock:
        """For cleaning up after a cancelled operation."""
        return cls(threading.Event())

    def sleep(self, seconds: float) -> None:
        """Sleep. Raises CancelledError."""
        if self.stop.wait(max(seconds, 0)):
            raise CancelledError

    def until(self, look: Callable[[], T | None], seconds: float, delay: float = 0.0) -> T:
        """The first thing that `look` finds. Raises WaitTimeoutError after `seconds`, the first `delay` included."""
        end = time.monotonic() + seconds
        self.sleep(min(delay, seconds))
        while True:
            found = look()
            if found is not None:
                return found
            left = end - time.monotonic()
            if left <= 0:
                raise WaitTimeoutError(f"timeout while waiting for state (timeout: {seconds:g}s)")
            self.sleep(min(POLL_SECONDS, left))
