"""``python -m hosts converge | remove``, with a host as JSON on standard input (hosts/wanted.py).

``converge`` prints where the host is: ``{"address": ..., "engine": DOCKER_HOST}``. Of two at once for one cluster, the
second waits.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path

from hosts.local_machines import LocalMachines
from hosts.machines import Fleet
from hosts.roll import Roll
from hosts.ssh_machines import SshMachines
from hosts.wanted import HostError, Wanted

ROOT = Path(os.environ.get("STELE_HOSTS") or Path(__file__).resolve().parent.parent / ".stele" / "hosts")


def main(arguments: list[str]) -> int:
    """The process's exit status; what is wrong is said on standard error."""
    if arguments not in (["converge"], ["remove"]):
        print("usage: python -m hosts converge | remove < host.json", file=sys.stderr)
        return 2
    wanted = Wanted.of(sys.stdin.read())
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / f"{wanted.cluster}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.set_inheritable(lock.fileno(), False)  # engines outlive this
        roll = Roll(wanted, Fleet(LocalMachines(wanted.cluster, wanted.subnet, ROOT), SshMachines(wanted), wanted))
        try:
            if arguments == ["remove"]:
                roll.remove()
            else:
                machine = roll.converge()
                print(json.dumps({"address": machine.address, "engine": machine.engine}))
        except HostError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
