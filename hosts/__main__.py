"""``python -m hosts converge | remove | unused``, with a host as JSON on standard input (hosts/wanted.py).

``converge`` prints where the host is: ``{"address": ..., "engine": DOCKER_HOST, "generation": ...}``; what it printed
last time is in PULUMI_COMMAND_STDOUT. ``unused`` fails while anything runs on its cluster, or a host has data. Of two
at once for one cluster on this machine, the second waits. STELE_GIVE_UP=<cluster> in the environment lets
``remove`` and ``unused`` pass where, and only where, the managers have no majority any more: whatever is on the hosts
is lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hosts.local_machines import LocalEngine, LocalMachines
from hosts.machines import Machine, Machines
from hosts.namespaced_engine import EngineError
from hosts.roll import Roll
from hosts.ssh import SSH
from hosts.ssh_machines import SshMachines
from hosts.wanted import HostError, Wanted

# Of the machine, not of a checkout: a second clone must find the hosts that are there.
ROOT = Path(os.environ.get("STELE_HOSTS", "/var/lib/stele/hosts"))


def machines_of(wanted: Wanted) -> Machines:
    """Those of its cluster: over SSH where it has an address. Raises HostError when they were of the other kind."""
    printed = os.environ.get("PULUMI_COMMAND_STDOUT")
    # Hosts that are older than hosts over SSH printed no generation.
    before = Machine(**{"name": wanted.name, "generation": ""} | json.loads(printed)) if printed else None
    if before is not None and before.engine.startswith(SSH) != bool(wanted.address):
        raise HostError(
            f"host {wanted.name}: it is {before.engine}: engines of this machine do not become machines over SSH, nor "
            f"back; pulumi destroy -s {wanted.cluster} first"
        )
    return SshMachines(wanted, before) if wanted.address else LocalMachines(wanted.cluster, wanted.subnet, ROOT)


@contextmanager
def _alone(wanted: Wanted) -> Iterator[None]:
    """One at a time, on this machine: what outlives a `pulumi up` that was killed is waited for by the next."""
    folder = Path.home() / ".cache/stele/hosts" if wanted.address else ROOT  # what is elsewhere needs no root here
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{wanted.cluster}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """The process's exit status; what is wrong is said on standard error."""
    if arguments not in (["converge"], ["remove"], ["unused"]):
        print("usage: python -m hosts converge | remove | unused < host.json", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and sockets of SSH are taken away
    wanted = Wanted.of(sys.stdin.read())
    given_up = os.environ.get("STELE_GIVE_UP") == wanted.cluster
    try:
        roll = Roll(wanted, machines_of(wanted))
        if not wanted.address:
            LocalEngine.check()
        with _alone(wanted):
            match arguments[0]:
                case "converge":
                    machine = roll.converge()
                    where = {name: getattr(machine, name) for name in ("address", "engine", "generation")}
                    print(json.dumps(where))
                case "remove":
                    roll.remove(given_up=given_up)
                case _:
                    roll.check_unused(given_up=given_up)
    except EngineError as error:
        print(f"host {wanted.name}: {error}, or an address for each host", file=sys.stderr)
        return 1
    except (HostError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
