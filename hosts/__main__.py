"""``python -m hosts converge | remove | unused``, with a host as JSON on standard input (hosts/wanted.py).

``converge`` prints where the host is: ``{"address": ..., "engine": DOCKER_HOST}``. ``unused`` fails while anything runs
on its cluster. Of two at once for one cluster, the second waits. STELE_GIVE_UP=<cluster> in the environment lets
``remove`` and ``unused`` pass where the managers have no majority any more: whatever is on the hosts is lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path

from hosts.local_machines import LocalMachines
from hosts.roll import Roll
from hosts.wanted import HostError, Wanted

# Of the machine, not of a checkout: a second clone must find the hosts that are there.
ROOT = Path(os.environ.get("STELE_HOSTS", "/var/lib/stele/hosts"))


def main(arguments: list[str]) -> int:
    """The process's exit status; what is wrong is said on standard error."""
    if arguments not in (["converge"], ["remove"], ["unused"]):
        print("usage: python -m hosts converge | remove | unused < host.json", file=sys.stderr)
        return 2
    wanted = Wanted.of(sys.stdin.read())
    roll = Roll(wanted, LocalMachines(wanted.cluster, wanted.subnet, ROOT))
    given_up = os.environ.get("STELE_GIVE_UP") == wanted.cluster
    try:
        ROOT.mkdir(parents=True, exist_ok=True)
        with (ROOT / f"{wanted.cluster}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            match arguments[0]:
                case "converge":
                    machine = roll.converge()
                    print(json.dumps({"address": machine.address, "engine": machine.engine}))
                case "remove":
                    roll.remove(given_up=given_up)
                case _ if not given_up:
                    roll.check_unused()
    except (HostError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
