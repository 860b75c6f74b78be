"""Ends what an engine started once that engine is gone.

The engine asks its plugins to stop when it ends by itself. When it is killed nobody does: official plugins notice by a
poll every five minutes. Here the end of the parent process is an event of the kernel (a pidfd), so nothing lingers.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from pathlib import Path


def on_exit(parent: int, action: Callable[[], None]) -> None:
    """Calls `action` in a thread of its own as soon as `parent`, the process that started this one, has ended."""

    def wait() -> None:
        try:
            descriptor = os.pidfd_open(parent)
        except OSError:
            action()  # it ended before we could look
            return
        if os.getppid() == parent:  # else the id may already belong to somebody else
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll()
        action()

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def stop_plugins(engine_address: str) -> None:
    """Sends SIGTERM to every resource plugin of an engine that no longer exists.

    A plugin is known by its command line: it carries the engine's address, which is unique on this machine.
    """
    wanted = engine_address.encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if wanted in arguments and any(b"pulumi-resource-" in a or a == b"pulumi.dynamic" for a in arguments):
                os.kill(int(entry.name), signal.SIGTERM)
        except OSError:
            continue  # ended meanwhile, or another user's
