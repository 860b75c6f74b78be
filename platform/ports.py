"""Who holds a port: found out before anything is started, and never taken over."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import processes
from problem import Problem

CHECKOUT = re.compile(r"(/.*)/\.stele/")


def taken(address: str, port: int, kind: str = "tcp") -> bool:
    """Whether somebody listens there: binding fails with EADDRINUSE."""
    family = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, family) as probe:
        if kind == "tcp":
            # Connections that ended a moment ago (TIME_WAIT) are nobody's.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            if kind == "tcp":
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise Problem(f"cannot listen on {address}:{port} ({error.strerror})", "choose another address") from error
    return False


def holder(port: int, kind: str = "tcp") -> int | None:
    """The pid of the process that holds the port, None when it is not visible (another user's, the kernel's)."""
    inodes = set()
    for table in (f"/proc/net/{kind}", f"/proc/net/{kind}6"):
        with contextlib.suppress(OSError):
            for row in Path(table).read_text().splitlines()[1:]:
                columns = row.split()
                # State 0A is LISTEN; UDP sockets have no such state.
                if columns[1].endswith(f":{port:04X}") and (kind == "udp" or columns[3] == "0A"):
                    inodes.add(f"socket:[{columns[9]}]")
    for pid in processes.all_pids() if inodes else []:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        return pid
    return None


def by_kernel(port: int) -> bool:
    """Whether a UDP port is held though no process that is visible from here holds it: by overlay networks, then."""
    return taken("0.0.0.0", port, "udp") and holder(port, "udp") is None  # noqa: S104


def checkout(pid: int) -> str | None:
    """The folder of the checkout that a process is a part of, None when it is of none."""
    matches = map(CHECKOUT.search, processes.arguments(pid))
    return next((match[1] for match in matches if match), None)


def describe(pid: int | None) -> str:
    """Who a process is, for a message; a part of another checkout is named as such."""
    if pid is None:
        return "a process that is not visible from here"
    argv = processes.arguments(pid)
    name = Path(argv[0]).name if argv else "unknown"
    folder = checkout(pid)
    return f"{name}, pid {pid}" + (f", of the checkout {folder}" if folder else "")


@dataclass(frozen=True)
class Need:
    """A port that a part needs: what for, where, and the mend when somebody else has it."""

    what: str
    address: str
    port: int
    kind: str
    mend: str

    def conflict(self, mine: set[int]) -> Problem | None:
        """A Problem when a process that is not one of `mine` holds the port."""
        if not taken(self.address, self.port, self.kind):
            return None
        pid = holder(self.port, self.kind)
        if pid in mine:
            return None
        return Problem(f"{self.kind.upper()} port {self.port} of {self.what} is used by {describe(pid)}", self.mend)
