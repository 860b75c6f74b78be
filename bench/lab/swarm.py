"""What the engine really runs for one stack: services, tasks, and the objects that carry its label."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker

STACK_LABEL = "stele.stack"


@dataclass(frozen=True, order=True)
class Running:
    """One task that serves: the container's id and start time tell whether it was ever restarted."""

    service: str
    container: str
    started: str
    restarts: int


class Swarm:
    """The engine's view of one stack, by its label."""

    def __init__(self, stack: str) -> None:
        self.stack = stack
        self.client: Any = docker.DockerClient.from_env(timeout=60)
        self._label = {"label": f"{STACK_LABEL}={stack}"}

    def __enter__(self) -> Swarm:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def services(self) -> dict[str, Any]:
        """Services by name."""
        return {service.name: service for service in self.client.services.list(filters=self._label)}

    def names(self, kind: str) -> set[str]:
        """Names of labelled ``services``, ``configs``, ``secrets``, ``networks`` or ``volumes``."""
        return {item.name for item in getattr(self.client, kind).list(filters=self._label)}

    def everything(self) -> dict[str, set[str]]:
        """All labelled objects, by kind."""
        return {kind: self.names(kind) for kind in ("services", "configs", "secrets", "networks", "volumes")}

    def running(self) -> set[Running]:
        """Every task that runs, of every service of the stack."""
        found = set()
        for name, service in self.services().items():
            for task in service.tasks(filters={"desired-state": "running"}):
                with contextlib.suppress(docker.errors.NotFound, KeyError):
                    found.add(self._running(name, task))
        return found

    def _running(self, service: str, task: dict[str, Any]) -> Running:
        container = task["Status"]["ContainerStatus"]["ContainerID"]
        seen = self.client.api.inspect_container(container)
        return Running(service, container, seen["State"]["StartedAt"], seen["RestartCount"])

    def containers(self, runtime: str) -> list[Any]:
        """The containers of one runtime's running tasks."""
        names = [name for name in self.services() if name.rpartition("-")[0] == f"{self.stack}-{runtime}"]
        return [self.client.containers.get(task.container) for task in sorted(self.running()) if task.service in names]

    def specification(self, service: str) -> dict[str, Any]:
        """A service's specification as the engine holds it."""
        spec: dict[str, Any] = self.client.api.inspect_service(service)["Spec"]
        return spec

    def remove_everything(self) -> None:
        """Remove all labelled objects, and wait until their containers are gone and the volumes with them."""
        for service in self.services().values():
            service.remove()
        for _ in self._until_gone():
            time.sleep(0.3)
        for kind in ("configs", "secrets", "networks", "volumes"):
            for item in getattr(self.client, kind).list(filters=self._label):
                self._remove(item)

    def _remove(self, item: Any) -> None:
        for _ in range(40):
            try:
                item.remove()
            except docker.errors.NotFound:
                return
            except docker.errors.APIError:  # still in use for a moment
                time.sleep(0.5)
            else:
                return

    def _until_gone(self) -> Iterator[None]:
        """Yields while containers of this stack's services exist, for at most a minute."""
        for _ in range(200):
            filters = {"name": f"{self.stack}-", "status": ["running", "created"]}
            mine = [
                container
                for container in self.client.api.containers(filters=filters)
                if (container["Labels"].get("com.docker.swarm.service.name") or "").startswith(f"{self.stack}-")
            ]
            if not mine:
                return
            yield
