"""Recover a stack after an `up` that was killed: ``make recover STACK=dev``.

What a killed update may leave: a lock that never expires, operations that Pulumi recorded as begun but not as done, and
engine objects that no state knows. In this order: refuse while the lock's holder is alive, clear the lock and hold the
stack, remove the objects whose creation the state records as begun (a generation that was being created; the previous
one still serves), let Pulumi look at what is there (`refresh --clear-pending-creates`), and finish the change (`up`).
It is safe to run at any time, twice, and after it was killed itself.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

PROJECT = "stele"
PATIENCE = 60  # seconds for the engine to take down the tasks that hold an object


class RecoverError(Exception):
    """Recovery cannot go on; the text is one line that says why and what to do."""


def lock_folder(stack: str) -> Path:
    """Where a file backend keeps the stack's locks. Raises RecoverError for other backends: they have their own."""
    backend = os.environ.get("PULUMI_BACKEND_URL", "")
    if not backend.startswith("file://"):
        raise RecoverError(
            f'PULUMI_BACKEND_URL is {backend or "not set"}, not a folder (file://): eval "$(make -s env)" for the '
            f"local one; for another: pulumi cancel -s {stack}, then make recover STACK={stack} CANCELLED=yes"
        )
    state = Path(backend.removeprefix("file://").partition("?")[0]).expanduser()  # options follow a question mark
    return state / ".pulumi" / "locks" / "organization" / PROJECT / stack


def read_lock(path: Path) -> dict[str, Any] | None:
    """Who holds a lock; None when it has just gone. One that was cut short by a kill or a full disk holds nobody."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecoverError(f"cannot read {path}: {error.strerror}; work as its owner") from error
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}


def alive(holder: dict[str, Any]) -> bool:
    """Whether the process that took a lock still runs; on another host, which cannot be seen, it counts as alive."""
    if not holder:
        return False
    if holder.get("hostname") != socket.gethostname():
        return True
    process = Path(f"/proc/{holder.get('pid')}")
    try:
        name = (process / "comm").read_text()
        dead = (process / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return hidden(holder.get("pid"))
    # Another program has only inherited the number. Locks are taken by the CLI and by this command. (Start times would
    # tell more, were it not for clocks that are set and containers whose uptime is not the kernel's.)
    return not dead and name in ("pulumi\n", Path("/proc/self/comm").read_text())


def hidden(pid: object) -> bool:
    """Whether a process that /proc does not show runs all the same (another user's, under ``hidepid``)."""
    try:
        os.kill(int(str(pid)), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


@contextlib.contextmanager
def held(stack: str) -> Iterator[None]:
    """Hold the stack with a lock in Pulumi's own form, so that an `up` meanwhile is told who holds it.

    Clears the locks of holders that are gone. Raises RecoverError when one is alive.
    """
    folder = lock_folder(stack)
    _refuse_or_clear(stack, folder, None)
    own = folder / f"{uuid.uuid4()}.json"
    try:
        _write_lock(own)
        _refuse_or_clear(stack, folder, own)  # whoever came at the same moment has seen ours, or we see theirs
        yield
    finally:
        own.unlink(missing_ok=True)


def _write_lock(path: Path) -> None:
    """Write a lock as Pulumi does, whole or not at all: half a lock would be taken for nobody's."""
    now = datetime.now().astimezone().isoformat()
    holder = {"pid": os.getpid(), "username": getpass.getuser(), "hostname": socket.gethostname(), "timestamp": now}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent.parent, prefix=".lock-", suffix=".tmp") as whole:
            whole.write(json.dumps(holder))
            whole.flush()
            os.link(whole.name, path)
    except OSError as error:
        raise RecoverError(f"cannot write {path}: {error.strerror}; free some space, or work as its owner") from error


def _refuse_or_clear(stack: str, folder: Path, own: Path | None) -> None:
    for path in sorted(folder.glob("*.json")):
        holder = read_lock(path) if path != own else None
        if holder is None:
            continue
        who = "{username}@{hostname}, process {pid}, since {timestamp}".format_map(
            {"username": "?", "hostname": "?", "pid": "?", "timestamp": "?"} | holder
        )
        if alive(holder):
            raise RecoverError(
                f"{stack} is held by {who}, which still runs: wait for it; "
                f"if it is on another machine and gone: pulumi cancel -s {stack}, then again"
            )
        say(f"clearing the lock of {who}, which is gone")
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise RecoverError(f"cannot remove {path}: {error.strerror}; work as its owner") from error


def say(line: str) -> None:
    """One line of progress."""
    print(f"recover: {line}", file=sys.stderr, flush=True)


def pulumi(*arguments: str) -> int:
    """Run the Pulumi CLI, showing what it says; its exit code."""
    return subprocess.run(["pulumi", *arguments, "--non-interactive"], check=False).returncode


def mend_attributes(stack: str) -> None:
    """Remove attributes of the stack's state that were cut short: with them, Pulumi cannot read the state any more.

    The file backend writes them in place, just before it moves the state itself into place (gocloud.dev's
    ``fileblob.setAttrs``). They only describe the state; it is read as well without them.
    """
    for path in (lock_folder(stack).parents[3] / "stacks" / PROJECT).glob(f"{stack}.json*.attrs"):
        try:
            json.loads(path.read_text())
        except ValueError:
            say(f"removing {path.name}, which was being written when the update was killed")
            path.unlink(missing_ok=True)


def mended(said: str) -> str:
    """What Pulumi says last, with the mend where a stack is not there."""
    return f"{said}; pulumi stack ls shows those that are there" if "no stack named" in said else said


@dataclass(frozen=True)
class Known:
    """What a stack's state says of the docker objects: ``ids`` of those that are there, ``begun`` names of those
    with an operation that was begun and not recorded as done; ``swarm``: the ID of the one where they are.

    Pulumi records a beginning before it acts, and what it has not deleted yet is still among the ``ids``: so a name
    that is begun, of an object whose id is not there, is a creation that was cut short.
    """

    ids: frozenset[str]
    begun: frozenset[str]
    swarm: str | None = None

    @classmethod
    def read(cls, stack: str) -> Known:
        """From the state as it is. Raises RecoverError."""
        done = subprocess.run(["pulumi", "stack", "export", "-s", stack], check=False, capture_output=True, text=True)
        if done.returncode:
            raise RecoverError(mended((done.stderr.strip().splitlines() or ["pulumi stack export failed"])[-1]))
        deployment = json.loads(done.stdout)["deployment"]
        resources = deployment.get("resources") or []
        there = [each for each in resources if each["type"].startswith("docker:")]
        (own,) = [each for each in resources if each["type"] == "pulumi:pulumi:Stack"] or [{}]
        pending = [each["resource"] for each in deployment.get("pending_operations") or []]
        return cls(
            frozenset(each.get("id", "") for each in there),
            frozenset(each.get("inputs", {}).get("name", "") for each in pending),
            (own.get("outputs") or {}).get("swarm"),
        )


def has_objects(stack: str) -> bool:
    """Whether a stack has objects in an engine: only environments do (``kind`` in the settings, as for __main__.py).

    Others need none, and may have none: a cluster's host at DOCKER_HOST may be gone by the very change that was killed.
    """
    command = ["pulumi", "config", "get", "kind", "-s", stack, "--non-interactive"]
    kind = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return kind in {"", "environment"}  # nothing where it is not set


def remove_orphans(stack: str) -> None:
    """Remove services, configurations, secrets and networks of this stack whose creation was cut short.

    Volumes stay: they hold data, and creating one that exists is no error. Raises RecoverError naming what cannot be
    removed, or the engine when it does not answer.
    """
    import docker
    import requests

    from hosts.engine_client import from_env

    known = Known.read(stack)
    labels = [f"stele.stack={stack}"]
    # Only this checkout's: another's stack of this name must not be touched, even by mistake.
    if checkout := os.environ.get("STELE_CHECKOUT_ID"):
        labels.append(f"stele.checkout={checkout}")
    try:
        client: Any = from_env()
        refuse_elsewhere(client, stack, known)
        refuse_strangers(client, stack, labels, known)
        for kind in (client.services, client.configs, client.secrets, client.networks):
            for item in kind.list(filters={"label": labels}):
                if item.id not in known.ids and item.name in known.begun:
                    remove(item.name, item.remove)
                    say(f"removed {item.name}, which the killed update had begun to create")
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise RecoverError(f"the Docker engine at {os.environ.get('DOCKER_HOST', '(default)')}: {error}") from error


def refuse_elsewhere(client: Any, stack: str, known: Known) -> None:
    """Raise RecoverError where the engine is not the one that has the stack: a refresh would find nothing of it there,
    and forget it, and an `up` would make it a second time."""
    here = (client.info()["Swarm"].get("Cluster") or {}).get("ID")
    if here and known.swarm and here != known.swarm:
        raise RecoverError(
            f"DOCKER_HOST is Swarm {here}, and {stack} runs on Swarm {known.swarm}: export that of its engine, or in a "
            "new shell: make recover"
        )


def refuse_strangers(client: Any, stack: str, labels: list[str], known: Known) -> None:
    """Raise RecoverError when services of this stack run of which its state says nothing.

    They are no left-overs: they serve, and were made with another state (a second clone, another backend, a state that
    was lost or restored from a backup).
    """
    state = os.environ.get("PULUMI_BACKEND_URL", "(the one you are logged in to)")
    for service in client.services.list(filters={"label": labels}):
        if service.id not in known.ids and service.name not in known.begun:
            raise RecoverError(
                f"{service.name} runs, but the state at {state} does not know it: another or a newer state of {stack} "
                "made it; use that one (PULUMI_BACKEND_URL), or remove the service yourself (docker service rm)"
            )


def remove(name: str, once: Callable[[], object]) -> None:
    """Remove one object, waiting for the tasks that still hold it. Raises RecoverError when they do not let go."""
    import docker

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            once()
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            if time.monotonic() > deadline:
                raise RecoverError(f"{name} is still in use after {PATIENCE} s: {error.explanation}") from error
            time.sleep(0.5)
        else:
            return


def recover(stack: str, *, up: bool, cancelled: bool) -> int:
    """Recover one stack; the exit code is that of the last Pulumi command. Raises RecoverError.

    ``cancelled``: the caller has cleared the lock of a backend that is no folder.
    """
    if cancelled and os.environ.get("PULUMI_BACKEND_URL", "").startswith("file://"):
        raise RecoverError("PULUMI_BACKEND_URL is a folder, whose locks are looked at here: leave CANCELLED out")
    with contextlib.nullcontext() if cancelled else held(stack):
        if not cancelled:
            mend_attributes(stack)
        if has_objects(stack):
            remove_orphans(stack)
    failed = pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "-s", stack)
    return failed if failed or not up else pulumi("up", "--yes", "--skip-preview", "-s", stack)


def main(arguments: list[str]) -> int:
    """``recover STACK [--no-up] [--cancelled]``."""
    parser = argparse.ArgumentParser(prog="make recover", usage="make recover STACK=<stack> [UP=no] [CANCELLED=yes]")
    parser.add_argument("stack")
    parser.add_argument("--no-up", action="store_true", help="UP=no: only clean up; do not finish the change")
    told = "CANCELLED=yes: `pulumi cancel` was run; not for a folder"
    parser.add_argument("--cancelled", action="store_true", help=told)
    chosen = parser.parse_args(arguments)
    try:
        return recover(chosen.stack, up=not chosen.no_up, cancelled=chosen.cancelled)
    except RecoverError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
