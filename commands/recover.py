"""Recover a stack after an `up` that was killed: ``make recover STACK=dev``.

What a killed update may leave: a lock that never expires, operations that Pulumi recorded as begun but not as done, and
engine objects that no state knows. In this order: refuse while the lock's holder is alive, clear the lock, remove
objects that carry the stack's label but are not in its state (a generation that was being created; the previous one
still serves), let Pulumi look at what is there (`refresh --clear-pending-creates`), and finish the change (`up`).
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

PROJECT = "stele"


def locks(state: Path, stack: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The stack's lock files in a file backend, each with who holds it."""
    for path in sorted((state / ".pulumi" / "locks" / "organization" / PROJECT / stack).glob("*.json")):
        yield path, json.loads(path.read_text())


def alive(holder: dict[str, Any]) -> bool:
    """Whether the process that took the lock still runs; on another host, which cannot be seen, it counts as alive."""
    if holder.get("hostname") != socket.gethostname():
        return True
    try:
        started = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", holder["timestamp"]))
        boot = float(Path("/proc/stat").read_text().split("btime ")[1].split()[0])
        fields = Path(f"/proc/{holder['pid']}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return False
    began = boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    # A younger process has only inherited the number.
    return fields[0] != "Z" and began <= started.timestamp() + 2


def pulumi(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the Pulumi CLI, showing what it says."""
    return subprocess.run(["pulumi", *arguments, "--non-interactive"], check=False, text=True)


def known(stack: str) -> tuple[set[str], set[str]]:
    """Ids and names of every docker object in the stack's state. Pending operations do not count as known."""
    shown = subprocess.run(
        ["pulumi", "stack", "export", "-s", stack], check=True, capture_output=True, text=True
    ).stdout
    resources = json.loads(shown)["deployment"].get("resources") or []
    docker = [resource for resource in resources if resource["type"].startswith("docker:")]
    return {resource.get("id", "") for resource in docker}, {
        resource.get("outputs", {}).get("name", "") for resource in docker
    }


def remove_orphans(stack: str) -> list[str]:
    """Remove services, configurations, secrets and networks of this stack that its state does not know.

    Volumes stay: they hold data, and creating one that exists is no error.
    """
    import docker

    client: Any = docker.DockerClient.from_env()
    ids, _ = known(stack)
    label = {"label": f"stele.stack={stack}"}
    removed = []
    for kind in (client.services, client.configs, client.secrets, client.networks):
        for item in kind.list(filters=label):
            if item.id not in ids:
                name = item.name
                item.remove()
                removed.append(name)
    return removed


def main(arguments: list[str]) -> int:
    """``recover STACK [--no-up]``; the exit code is that of the last Pulumi command."""
    if not arguments:
        print("usage: make recover STACK=<stack>", file=sys.stderr)
        return 2
    stack = arguments[0]
    state = Path(os.environ["PULUMI_BACKEND_URL"].removeprefix("file://"))
    for path, holder in locks(state, stack):
        who = f"{holder['username']}@{holder['hostname']}, process {holder['pid']}, since {holder['timestamp']}"
        if alive(holder):
            print(f"recover: {stack} is held by {who}, which still runs: wait for it, or end it first", file=sys.stderr)
            return 1
        print(f"recover: clearing the lock of {who}, which is gone")
        path.unlink(missing_ok=True)
    for name in remove_orphans(stack):
        print(f"recover: removed {name}, which the killed update had begun to create")
    if pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "-s", stack).returncode:
        return 1
    if "--no-up" in arguments:
        return 0
    return pulumi("up", "--yes", "--skip-preview", "-s", stack).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
