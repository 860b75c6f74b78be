"""A place where the stack runs, for the drill: an engine, a Pulumi state and a copy of the project, all of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from docker.errors import DockerException

from commands.recover import mended, remove
from commands.second_engine import SecondEngine
from hosts.engine_client import connect
from hosts.swarm_view import ENGINE_LABEL, labels_of, runs

CHECKOUT = Path(__file__).resolve().parent.parent
LABEL = "stele.stack"
# What a new site is given from outside: the rest comes from the account.
KIT = ("encryptionsalt",)
PLAN_FILE = "/etc/stele/backup.json"  # of all services, a task runner alone has it (components/backup.py)
# Seconds for an engine to answer. What a command in a container says is waited for without a limit: docker-py polls for
# it (docker/utils/socket.py), and a backup may be silent for hours.
ANSWER = 120
MEND = "make dev, or on a cluster: export DOCKER_HOST of another manager (pulumi stack output hosts -s CLUSTER)"


class DrillError(Exception):
    """The drill cannot go on; the text is one line."""


def needed(env: Mapping[str, str], name: str) -> str:
    """A variable of `make env`. Raises DrillError when it is not set."""
    if not env.get(name):
        raise DrillError(f'{name} is not set: eval "$(make -s env)"')
    return env[name]


def run(*command: str, env: Mapping[str, str], cwd: Path, stdin: str | None = None) -> str:
    """What a command prints. Raises DrillError with its last lines."""
    done = subprocess.run(command, env=dict(env), cwd=cwd, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        wrong = [line for line in said if "error:" in line]
        raise DrillError(f"{' '.join(command[:4])}: {mended((wrong or said or ['no reason given'])[-1].strip())}")
    return done.stdout


class Site:
    """Where a stack runs. ``engine`` is None for the platform's own."""

    def __init__(
        self, stack: str, storage: str, folder: Path, env: Mapping[str, str], engine: SecondEngine | None
    ) -> None:
        self.stack, self.storage, self.folder = stack, storage, folder
        self.env, self.engine = dict(env), engine

    @classmethod
    def own(cls, stack: str, storage: str) -> Site:
        """The one that `make dev` made."""
        return cls(stack, storage, CHECKOUT, os.environ, None)

    @classmethod
    def fresh(cls, stack: str, storage: str, folder: Path, engine: SecondEngine, releases: Path | None = None) -> Site:
        """Another host: nothing but this project, the keys and passphrases that its operator keeps, and the store."""
        shutil.rmtree(folder, ignore_errors=True)
        ignored = shutil.ignore_patterns(".stele", ".venv", ".git", "__pycache__", ".*_cache", ".hypothesis")
        shutil.copytree(CHECKOUT, folder / "project", ignore=ignored, symlinks=True)
        (folder / "state").mkdir()
        env = os.environ | {
            "DOCKER_HOST": engine.host,
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "STELE_RELEASES": str(releases or folder / "releases"),
        }
        return cls(stack, storage, folder / "project", env, engine)

    @contextmanager
    def client(self, host: str = "") -> Iterator[Any]:
        """A client of its engine, or of that of the runner's ``host``; it answers within ANSWER seconds.

        DrillError when it refuses or is gone.
        """
        engine = host or needed(self.env, "DOCKER_HOST")
        mend = "the runner is there: again once it answers, or the cluster has moved it" if host else MEND
        try:
            with closing(connect(engine, ANSWER)) as client:
                yield client
        except (DockerException, OSError) as error:  # those of requests are OSErrors
            raise DrillError(f"the engine at {engine}: {' '.join(str(error).split())}; {mend}") from error

    def pulumi(self, *words: str) -> str:
        """The real CLI here."""
        return run("pulumi", *words, "--non-interactive", env=self.env, cwd=self.folder)

    def outputs(self, stack: str) -> dict[str, Any]:
        """A stack's outputs, secrets included."""
        return dict(json.loads(self.pulumi("stack", "output", "--json", "--show-secrets", "-s", stack)))

    def output(self, name: str) -> Any:
        """One of the environment's outputs. DrillError when it has none: it does not run, or is none."""
        found = self.outputs(self.stack)
        if name not in found:
            raise DrillError(
                f"stack {self.stack} has no output {name}: it is no environment, or pulumi up -s {self.stack}"
            )
        return found[name]

    def settings(self, stack: str) -> Path:
        """A stack's settings file."""
        return self.folder / f"Pulumi.{stack}.yaml"

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write the stack's settings, keeping of the file what only its operator has: secrets and their salt."""
        path = self.settings(self.stack)
        before = yaml.safe_load(path.read_text())
        secrets = {
            key: value for key, value in before["config"].items() if isinstance(value, dict) and "secure" in value
        }
        plain = {f"stele:{key}": value for key, value in settings.items() if value is not None}
        path.write_text(
            yaml.safe_dump({key: before[key] for key in KIT if key in before} | {"config": plain | secrets})
        )

    def secret(self, name: str) -> str:
        """One of the stack's secrets, as its operator has it."""
        self._introduce(self.stack)
        return self.pulumi("config", "get", name, "-s", self.stack).strip()

    def up(self, stack: str) -> None:
        """Bring a stack up, which may not be known here."""
        self._introduce(stack)
        self.pulumi("up", "--yes", "--skip-preview", "-s", stack)

    def _introduce(self, stack: str) -> None:
        known = json.loads(self.pulumi("stack", "ls", "--json"))
        if stack not in {each["name"] for each in known}:
            self.pulumi("stack", "init", stack, "--no-select")

    def orders(self, verb: str, count: int = 0, ids: list[str] | None = None) -> list[str]:
        """Place or find orders, from where the front door is."""
        url = str(self.output("url"))
        command = [sys.executable, "-m", "commands.orders", verb, url, str(count)]
        if self.engine is not None:
            command = self.engine.inside(*command)
        return list(json.loads(run(*command, env=self.env, cwd=CHECKOUT, stdin=json.dumps(ids or []))))

    def runner(self, *words: str) -> str:
        """What a command in the task runner's container says, however long it takes."""
        names = set(self.output("services").values())
        with self.client() as manager:
            host, container = self._runner(manager, names)
        with self.client(host) as client:
            status, said = client.containers.get(container).exec_run(["/opt/stele/backup", *words])
        if status is None:  # it goes on, or what came of it is not known
            raise DrillError("the engine lost sight of the backup; the next make backup waits for it if it still runs")
        if status:
            lines = said.decode(errors="replace").strip().splitlines() or ["no reason given"]  # it was killed
            raise DrillError(f"backup: {lines[-1]}")
        return str(said.decode())

    def _runner(self, manager: Any, names: set[str]) -> tuple[str, str]:
        """Where the task runner is: the host's engine, empty where that is the site's own, and the container.

        Only a manager knows: on a cluster it runs on whatever host has room. Raises DrillError.
        """
        services = manager.services.list(filters={"label": f"{LABEL}={self.stack}"})
        ours = [each for each in services if each.name in names]
        if not ours:
            swarm = f"the Swarm of {self.env['DOCKER_HOST']} (DOCKER_HOST)"
            raise DrillError(
                f"{self.stack} is not on {swarm}: export that of its cluster, or pulumi up -s {self.stack}"
            )
        runner = next((each for each in ours if PLAN_FILE in _files(each)), None)
        if runner is None:
            raise DrillError(f"{self.stack} has no task runner: without stele:storage there are no backups")
        tasks = sorted(runner.tasks(), key=lambda task: str(task["CreatedAt"]))
        running = [task for task in tasks if runs(task)]
        if not running:
            last = tasks[-1]["Status"] if tasks else {"State": "no task"}
            told = f"{last['State']} {last.get('Err') or last.get('Message') or ''}".strip()
            raise DrillError(f"the task runner of {self.stack} does not run: {told}; docker service logs {runner.name}")
        # While a host leaves there are two: the newer one stays.
        node = manager.nodes.get(running[-1]["NodeID"]).attrs
        return labels_of(node).get(ENGINE_LABEL, ""), str(running[-1]["Status"]["ContainerStatus"]["ContainerID"])

    def fence(self) -> None:
        """Let the stack accept nothing any more, and say so in its settings; they are put back when it is lost."""
        path = self.settings(self.stack)
        before = path.read_text()
        self.pulumi("config", "set", "fenced", "true", "-s", self.stack)
        try:
            self.up(self.stack)
        finally:
            path.write_text(before)

    def destroy(self) -> None:
        """Lose everything: the whole host, or on the platform's own engine what this stack has there and its state."""
        if self.engine is not None:
            self.engine.remove()
            shutil.rmtree(self.folder.parent, ignore_errors=True)
            return
        with self.client() as client:
            lose(client, self.stack)
        self.pulumi("stack", "rm", self.stack, "--force", "--preserve-config", "--yes")


def _files(service: Any) -> set[str]:
    """Where the containers of a service have their configurations."""
    configs = service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"].get("Configs") or []
    return {each["File"]["Name"] for each in configs}


def lose(client: Any, stack: str) -> None:
    """Remove what carries a stack's label in an engine, volumes included, and nothing else.

    Swarm takes tasks down meanwhile: what they still hold is waited for. Raises RecoverError when they do not let go.
    """
    label = f"{LABEL}={stack}"
    services = client.services.list(filters={"label": label})
    for service in services:
        remove(service.name, service.remove)
    for service in services:
        tasks = {"label": f"com.docker.swarm.service.name={service.name}"}
        for container in client.containers.list(all=True, filters=tasks, ignore_removed=True):
            remove(container.name, partial(container.remove, force=True))
    for kind in (client.configs, client.secrets, client.networks, client.volumes):
        for found in kind.list(filters={"label": label}):
            remove(found.name, found.remove)
