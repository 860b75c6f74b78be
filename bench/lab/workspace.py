"""A throw-away copy of the project, in which runtimes are edited and stacks are brought up as a user would."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.lab import ground
from bench.lab.ground import CHECKOUT, LabError, tail

PASSPHRASE = "for tests only"  # noqa: S105
SECRETS = {"database-password": "correct-horse-battery", "broker-password": "staple-for-the-broker"}
BACKUP_SECRETS = SECRETS | {"backup-key": "the-customers-own-key"}
UP_LIMIT = 1200  # seconds


def project_files() -> list[Path]:
    """Every file of the project that git tracks or would track, relative to the checkout."""
    listed = ground.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    names = [Path(name) for name in listed.split("\0") if name]
    return [name for name in names if (CHECKOUT / name).is_file()]


def copy_project(folder: Path) -> None:
    """Copy every file of the project to ``folder``, over what is there."""
    for name in project_files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target)


class Workspace:
    """A copy of the project under ``root`` with a state, releases and stacks of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "project"
        self.releases = root / "releases"
        self.stacks: list[Stack] = []
        (root / "state").mkdir(parents=True)
        self.reset()
        self.env = ground.environment() | {
            "PULUMI_BACKEND_URL": f"file://{root / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "STELE_RELEASES": str(self.releases),
        }

    def reset(self) -> None:
        """Put every file of the project back as the checkout has it; the stacks' settings stay."""
        shutil.rmtree(self.folder / "runtimes", ignore_errors=True)
        copy_project(self.folder)

    def runtime(self, name: str, product: str = "orders") -> Path:
        """The folder of one runtime."""
        return self.folder / "runtimes" / product / name

    def pulumi(
        self, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None, limit: float = UP_LIMIT
    ) -> subprocess.CompletedProcess[str]:
        """Run the real CLI in this copy."""
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        return ground.run(*command, env=self.env | dict(env or {}), cwd=self.folder, check=check, limit=limit)

    def factory(self, name: str, **settings: str) -> Stack:
        """A new factory stack."""
        return Stack(self, name, {"kind": "release", "name": name} | settings, {})

    def environment(self, name: str, secrets: Mapping[str, str] = SECRETS, **settings: Any) -> Stack:
        """A new environment stack; ``secrets`` are set encrypted."""
        return Stack(self, name, settings, secrets)

    def storage(self, name: str, **settings: str) -> Stack:
        """A new customer's WORM storage; what is in it stays in the platform's store."""
        return Stack(self, name, {"kind": "storage"} | settings, {})

    def close(self) -> None:
        """Remove every stack and what its objects left in the engine, whatever happened before."""
        with ThreadPoolExecutor(4) as pool:  # they wait for their containers most of the time
            list(pool.map(Stack.remove, reversed(self.stacks)))


@dataclass
class Up:
    """An update that runs in the background, its output in a file."""

    process: subprocess.Popen[bytes]
    log: Path
    events: Path

    def output(self) -> str:
        """What it has said so far."""
        return self.log.read_text(errors="replace")

    def event_count(self) -> int:
        """How many steps of the engine its event log has seen so far."""
        return self.events.read_bytes().count(b"\n") if self.events.exists() else 0

    def wait(self, limit: float = UP_LIMIT) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(limit)

    def kill(self, *, everything: bool) -> bool:
        """SIGKILL the CLI, and with ``everything`` its plugins and program too, whose process groups are their own.

        False when it had ended by itself just before.
        """
        if everything:
            self.process.send_signal(signal.SIGSTOP)  # or it would start more while the list is made
            for pid in descendants(self.process.pid):
                kill(pid)
        self.process.kill()
        return self.process.wait() == -signal.SIGKILL


def kill(pid: int) -> None:
    """SIGKILL one process, which may have ended by itself."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def descendants(pid: int) -> list[int]:
    """The process ids below ``pid``, from /proc."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


@contextmanager
def _in_turn() -> Iterator[None]:
    """One factory at a time: of lanes that begin together, one makes what the others find in the registry then."""
    folder = CHECKOUT / ".stele" / "tests"
    folder.mkdir(exist_ok=True)
    with (folder / "factory.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass
class Stack:
    """One stack of a workspace."""

    workspace: Workspace
    name: str
    settings: dict[str, Any]
    secrets: Mapping[str, str]
    counter: int = field(default=0, init=False)
    applied: str | None = field(default=None, init=False)  # the settings of the last `up` that succeeded

    def __post_init__(self) -> None:
        self.workspace.stacks.append(self)
        remove_objects(self.name)  # of an earlier run that was killed: its state is gone
        self.workspace.pulumi("stack", "init", self.name, "--no-select")
        self.configure(**self.settings)
        if self.secrets:
            pairs = [word for key, value in self.secrets.items() for word in ("--secret", f"{key}={value}")]
            self.workspace.pulumi("config", "set-all", "-s", self.name, *pairs)

    @property
    def file(self) -> Path:
        """Its settings file, which a user edits and commits."""
        return self.workspace.folder / f"Pulumi.{self.name}.yaml"

    def configure(self, **settings: Any) -> None:
        """Edit the settings file: set keys, or take away those that are None. ``_`` stands for ``-``."""
        document = yaml.safe_load(self.file.read_text()) or {}
        config = document.setdefault("config", {})
        for key, value in settings.items():
            name = f"stele:{key.replace('_', '-')}"
            config.pop(name, None)
            if value is not None:
                config[name] = value
        self.file.write_text(yaml.safe_dump(document))

    def up(self, *more: str, check: bool = True, **settings: Any) -> subprocess.CompletedProcess[str]:
        """`pulumi up` with changed settings, if any."""
        if settings:
            self.configure(**settings)
        wanted, self.applied = self.file.read_text(), None
        with _in_turn() if self.settings.get("kind") == "release" else nullcontext():
            done = self.workspace.pulumi("up", "--yes", "--skip-preview", "-s", self.name, *more, check=check)
        if done.returncode == 0:
            self.applied = wanted
        return done

    def begin_up(self, *more: str) -> Up:
        """`pulumi up` in the background."""
        return self.begin("up", *more)

    def begin(self, verb: str, *more: str) -> Up:
        """`pulumi up` or `pulumi destroy` in the background, in a process group of its own."""
        self.counter += 1
        self.applied = None
        log, events = (self.workspace.root / f"{self.name}-{self.counter}.{kind}" for kind in ("log", "events"))
        command = ["pulumi", verb, "--yes", "--skip-preview", "--non-interactive", "--color", "never", "-s", self.name]
        env = self.workspace.env | {"PULUMI_DEBUG_COMMANDS": "true"}  # it unlocks --event-log
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--event-log", str(events), *more],
                cwd=self.workspace.folder,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Up(process, log, events)

    def preview(self, *more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`pulumi preview`."""
        return self.workspace.pulumi("preview", "-s", self.name, *more, check=check)

    def recover(self, *more: str) -> subprocess.CompletedProcess[str]:
        """What `make recover` calls."""
        command = [f"{CHECKOUT}/.venv/bin/python", "-m", "commands.recover", self.name, *more]
        env, folder = self.workspace.env, self.workspace.folder
        return ground.run(*command, env=env, cwd=folder, check=False, limit=UP_LIMIT)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        shown: dict[str, Any] = json.loads(self.workspace.pulumi("stack", "output", "--json", "-s", self.name).stdout)
        return shown

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the stack's state."""
        return list(self._deployment().get("resources") or [])

    def pending(self) -> list[dict[str, Any]]:
        """Operations that were begun and never ended."""
        return list(self._deployment().get("pending_operations") or [])

    def _deployment(self) -> dict[str, Any]:
        shown = json.loads(self.workspace.pulumi("stack", "export", "-s", self.name).stdout)
        deployment: dict[str, Any] = shown["deployment"]
        return deployment

    def names_in_state(self, kind: str) -> set[str]:
        """Names of the engine's objects that the state holds, of one type such as ``service:Service``."""
        return {
            resource["outputs"]["name"]
            for resource in self.resources()
            if resource["type"].startswith("docker:") and resource["type"].endswith(kind)
        }

    def remove(self) -> None:
        """Destroy the stack, its volumes included. Never fails: it runs last, whatever happened."""
        for lock in self.workspace.root.glob(f"state/.pulumi/locks/organization/*/{self.name}/*.json"):
            lock.unlink(missing_ok=True)
        self.workspace.pulumi("destroy", "--yes", "--skip-preview", "-s", self.name, check=False, limit=300)
        remove_objects(self.name)


def remove_objects(stack: str) -> None:
    """Remove what carries a stack's label in the engine, volumes included."""
    from bench.lab.swarm import Swarm

    with Swarm(stack) as swarm:
        swarm.remove_everything()


def wait_until(what: str, condition: Any, limit: float, interval: float = 0.1) -> Any:
    """Poll until ``condition()`` is truthy and return it; LabError naming ``what`` after ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {limit:g} s")
        time.sleep(interval)
    return value


__all__ = ["LabError", "Stack", "Up", "Workspace", "kill", "tail", "wait_until"]
