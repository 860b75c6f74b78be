"""Containers, volumes and a network of the tests' own in whatever engine there is: no orchestrator, no Pulumi."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import Mount

LIMIT = 300  # seconds for anything to become ready; on a busy machine a JVM takes many


class Refused(AssertionError):
    """A command in a container failed; the text is what it said."""


@dataclass
class Engine:
    """What was made is removed by :meth:`close`; every name begins with ``prefix``."""

    client: Any = field(default_factory=lambda: docker.DockerClient.from_env(timeout=300))
    prefix: str = field(default_factory=lambda: f"bt-{secrets.token_hex(4)}")

    def network(self, name: str) -> str:
        """A new network: on one of its own each, stacks do not meet each other's names."""
        full = f"{self.prefix}-{name}"
        self.client.networks.create(full, driver="bridge", labels={"stele.test": self.prefix})
        return full

    def volume(self, name: str, megabytes: int = 0, owner: int = 10001) -> str:
        """A new volume; with ``megabytes`` one in memory that is full then, and gone when its container ends."""
        options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={megabytes}m,uid={owner},mode=750"}
        full = f"{self.prefix}-{name}"
        self.client.volumes.create(full, driver_opts=options if megabytes else {}, labels={"stele.test": self.prefix})
        return full

    def start(
        self,
        name: str,
        image: str,
        *,
        network: str,
        mounts: list[Mount],
        aliases: list[str] | None = None,
        **more: Any,
    ) -> Box:
        """A new container, started."""
        ends = self.client.api.create_endpoint_config(aliases=aliases or [])
        config = self.client.api.create_host_config(
            mounts=mounts, privileged=more.pop("privileged", False), init=more.pop("init", False)
        )
        made = self.client.api.create_container(
            image,
            name=f"{self.prefix}-{name}",
            host_config=config,
            networking_config=self.client.api.create_networking_config({network: ends}),
            labels={"stele.test": self.prefix},
            **more,
        )
        container = self.client.containers.get(made["Id"])
        container.start()
        return Box(container)

    def remove(self, name: str = "") -> None:
        """Remove the containers, networks and volumes of that name and below it, as far as they are the tests' own."""
        label = {"label": f"stele.test={self.prefix}"}
        full = f"{self.prefix}-{name}".rstrip("-")
        for each in self.client.containers.list(all=True, filters=label, ignore_removed=True):
            if each.name == full or each.name.startswith(f"{full}-"):
                each.remove(force=True, v=True)
        for each in (*self.client.networks.list(filters=label), *self.client.volumes.list(filters=label)):
            if each.name == full or each.name.startswith(f"{full}-"):
                each.remove()

    def close(self) -> None:
        self.remove()
        self.client.close()


@dataclass
class Box:
    """One container."""

    container: Any

    def run(self, *command: str, user: str = "", env: Mapping[str, str] | None = None) -> str:
        """What a command in it prints. Raises Refused with what it complains of."""
        done = self.container.exec_run(list(command), user=user, environment=dict(env or {}), demux=True)
        out, complaint = ((part or b"").decode(errors="replace") for part in done.output)
        if done.exit_code:
            raise Refused(f"{shlex.join(command)[:200]}: exit code {done.exit_code}: {out}{complaint}".strip())
        return str(out)

    def shell(self, script: str, *, user: str = "") -> str:
        return self.run("bash", "-c", script, user=user)

    def log(self) -> str:
        return str(self.container.logs().decode(errors="replace"))

    def running(self) -> bool:
        self.container.reload()
        return bool(self.container.attrs["State"]["Running"])

    def code(self) -> int:
        """Its exit code."""
        self.container.reload()
        return int(self.container.attrs["State"]["ExitCode"])

    def kill(self, signal: str = "SIGKILL") -> None:
        """Killed, and dead when this returns; that it ended before by itself does not matter."""
        try:
            self.container.kill(signal)
        except (APIError, NotFound):
            if self.running():
                raise
        self.container.wait(timeout=LIMIT)

    def start(self) -> None:
        self.container.start()

    def copy_in(self, folder: str, archive: bytes) -> None:
        self.container.put_archive(folder, archive)


def wait_until(what: str, holds: Callable[[], Any], box: Box | None = None, limit: float = LIMIT) -> Any:
    """The first true answer. An AssertionError, with the container's log, when there is none or it has ended."""
    deadline = time.monotonic() + limit
    while not (answer := holds()):
        ended = box is not None and not box.running()
        if (ended and not holds()) or time.monotonic() > deadline:
            raise AssertionError(f"not within {limit} s: {what}\n{box.log()[-3000:] if box else ''}")
        time.sleep(0.05)
    return answer


def bound(source: Path, target: str, *, writable: bool = False) -> Mount:
    """A file or folder of this machine."""
    return Mount(target=target, source=str(source), type="bind", read_only=not writable)
