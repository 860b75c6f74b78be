"""What a blessed host is looked at for, over SSH: by the build before it is sealed, by the tests when it has started.

As a program, in the build: ``checks.py HOST PORT KEY``. Every check that fails is one line; the exit status is 1 then.
"""

from __future__ import annotations

import sys
from contextlib import closing

from cis import CHECKS, Check, output
from shell import Shell, ShellError, view
from testinfra.host import Host

SERVICES = ("docker", "ssh", "auditd", "nftables", "systemd-timesyncd", "systemd-networkd", "systemd-resolved")
PORTS = {"22"}  # by TCP, from elsewhere
# What SSH says are errors then, and not the host's banner.
_SSH = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR")


def listening(host: Host) -> set[str]:
    """TCP ports that others may reach."""
    addresses = [line.split()[3] for line in host.check_output("ss -Hltn").splitlines()]
    return {each.rpartition(":")[2] for each in addresses if not each.startswith(("127.", "[::1]"))}


def accounts(host: Host) -> set[str]:
    """Who has a shell."""
    lines = host.check_output("cat /etc/passwd").splitlines()
    return {line.split(":")[0] for line in lines if not line.endswith(("nologin", "false", "/bin/sync"))}


def passwords(host: Host) -> set[str]:
    """Who has a password."""
    rows = [line.split(":") for line in host.check_output("cat /etc/shadow").splitlines()]
    return {row[0] for row in rows if row[1][:1] not in ("!", "*")}


def _runs(name: str) -> Check:
    return Check(
        f"service {name}",
        "runs, and will at every start",
        lambda host: bool(host.service(name).is_running and host.service(name).is_enabled),
    )


ALL = [
    *CHECKS,
    *(_runs(name) for name in SERVICES),
    Check("services", "none has failed", output("systemctl list-units --failed --plain --no-legend", "")),
    Check("ports", f"{', '.join(PORTS)} alone", lambda host: listening(host) == PORTS),
    Check("accounts", "root alone has a shell", lambda host: accounts(host) == {"root"}),
    Check("passwords", "nobody has one", lambda host: not passwords(host)),
]


def failing(host: Host, *, sealed: bool) -> list[str]:
    """A line for each check that this host does not pass."""
    lines = []
    for check in ALL:
        if sealed or not check.sealed:
            try:
                reason = None if check.holds(host) else "no"
            except (AssertionError, ValueError, KeyError) as error:  # what testinfra raises of a command that failed
                reason = str(error).partition(" for CommandResult")[0]
            if reason:
                lines.append(f"{check.id} ({check.title}): {reason}")
    return lines


def ssh(address: str, port: int, key: str, patience: int = 60) -> list[str]:
    """The words before a command on a host, which has ``patience`` seconds to answer."""
    options = [word for option in (*_SSH, f"ConnectTimeout={patience}") for word in ("-o", option)]
    return ["ssh", *options, "-i", key, "-p", str(port), f"root@{address}"]


def main(arguments: list[str]) -> int:
    """Check the host of a build; the process's exit status."""
    address, port, key = arguments
    try:
        with closing(Shell(address, ssh(address, int(port), key))) as shell:
            found = failing(view(shell), sealed=False)
    except ShellError as error:
        print(f"checks: {error}")
        return 1
    for line in found:
        print(f"check failed: {line}")
    print(f"checks: {len(found)} of {sum(not check.sealed for check in ALL)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
