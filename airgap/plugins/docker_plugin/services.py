"""Swarm services on the engine: docker:index/service:Service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.errors import PluginError

from .converge import Convergence
from .durations import go_duration, lenient_duration
from .engine import Engine, EngineError, path_of
from .images import pin_image, registry_auth
from .service_spec import service_spec
from .service_state import service_state
from .waiting import Clock, WaitTimeoutError

Attributes = dict[str, Any]

#: Upstream waits this long for the engine to show how a new service is reached.
SHOWN_SECONDS = 30.0
#: Upstream gives a container exactly its stop period to be gone and fails the deletion otherwise. But one that ignores
#: the signal is killed only then, and takes some more to remove; a deletion that fails for that leaves a ghost behind.
REMOVAL_SLACK_SECONDS = 15.0


@dataclass(frozen=True)
class Services:
    """Create, read, update and delete one service; wait for it where the program says so (`convergeConfig`)."""

    engine: Engine
    clock: Clock

    def create(self, wanted: Attributes) -> tuple[str, Attributes]:
        spec = service_spec(wanted)
        auth = registry_auth(wanted, self.engine.settings.auths)
        pin_image(self.engine, spec, auth)
        identity = str(self.engine.post("/services/create", spec, headers={"X-Registry-Auth": auth})["ID"])
        converge = _converge(wanted)
        if converge is not None:
            try:
                self._created(identity, converge)
            except PluginError:
                # A service that never got healthy must not stay behind: nothing would know about it.
                self._remove(identity, wanted, Clock.unstoppable())
                raise
        seen = self.read(identity, wanted)
        if seen is None:
            raise EngineError(f"service {identity} vanished right after it was created")
        return seen

    def _created(self, identity: str, converge: Attributes) -> None:
        seconds = lenient_duration(converge["timeout"]) / 1e9
        delay = lenient_duration(converge["delay"]) / 1e9
        watched = Convergence(self.engine, identity)
        try:
            self.clock.until(watched.created, seconds, delay)
        except WaitTimeoutError:
            raise _did_not_converge(identity, converge) from None

    def read(self, identity: str, known: Attributes) -> tuple[str, Attributes] | None:
        def shown() -> tuple[str, Attributes] | None:
            service = self._find(identity, known.get("name") or "")
            if service is None:
                return "", {}
            state = service_state(service)
            return None if state is None else (service["ID"], state)

        try:
            found = self.clock.until(shown, SHOWN_SECONDS)
        except WaitTimeoutError:
            raise EngineError(f"service {identity} does not show its endpoint after {SHOWN_SECONDS:g}s") from None
        return found if found[0] else None

    def _find(self, identity: str, name: str) -> Attributes | None:
        """By identity, or else by name, as upstream finds it."""
        for key in filter(None, (identity, name)):
            try:
                service: Attributes = self.engine.get(path_of("services", key))
            except EngineError as error:
                if error.missing:
                    continue
                raise
            if key == service["ID"] or key == service["Spec"]["Name"]:
                return service
        return None

    def update(self, identity: str, wanted: Attributes) -> Attributes:
        before = self.engine.get(path_of("services", identity))
        spec = service_spec(wanted)
        auth = registry_auth(wanted, self.engine.settings.auths)
        version = before["Version"]["Index"]
        headers = {"X-Registry-Auth": auth}
        self.engine.post(f"{path_of('services', identity)}/update", spec, headers=headers, version=version)
        converge = _converge(wanted)
        if converge is not None:
            watched = Convergence(self.engine, identity)
            try:
                watched.updated(self.clock, lenient_duration(converge["timeout"]) / 1e9, before)
            except WaitTimeoutError:
                raise _did_not_converge(identity, converge) from None
        seen = self.read(identity, wanted)
        if seen is None:
            raise EngineError(f"service {identity} vanished while it was updated")
        return seen[1]

    def delete(self, identity: str, known: Attributes) -> None:
        self._remove(identity, known, self.clock)

    def _remove(self, identity: str, known: Attributes, clock: Clock) -> None:
        grace = _stop_grace(known)
        containers = self._containers(identity) if grace else []
        try:
            self.engine.delete(path_of("services", identity))
        except EngineError as error:
            if not error.missing:
                raise EngineError(f"Error deleting service with ID '{identity}': {error}", error.status) from None
        for container in containers:
            self._await_removal(container, grace, clock)

    def _containers(self, identity: str) -> list[str]:
        """The containers of the service on this engine that are not shut down yet."""
        try:
            tasks = self.engine.get("/tasks", filters={"service": [identity]})
        except EngineError as error:
            if error.missing:
                return []
            raise
        found = []
        for task in tasks:
            status = task.get("Status") or {}
            container = (status.get("ContainerStatus") or {}).get("ContainerID") or ""
            if container.strip() and status.get("State") != "shutdown":
                found.append(container)
        return found

    def _await_removal(self, container: str, grace: float, clock: Clock) -> None:
        def gone() -> bool | None:
            try:
                self.engine.get(f"{path_of('containers', container)}/json")
            except EngineError as error:
                if error.missing:
                    return True
                raise
            return None

        try:
            clock.until(gone, grace + REMOVAL_SLACK_SECONDS)
        except WaitTimeoutError:
            raise EngineError(f"error on wait for container with ID '{container}': context deadline exceeded") from None


def _converge(wanted: Attributes) -> Attributes | None:
    items = wanted.get("converge_config")
    if not items:
        return None
    return {"delay": items[0].get("delay") or "7s", "timeout": items[0].get("timeout") or "3m"}


def _did_not_converge(identity: str, converge: Attributes) -> EngineError:
    return EngineError(
        f"Service with ID ({identity}) did not converge after {go_duration(lenient_duration(converge['timeout']))}"
    )


def _stop_grace(known: Attributes) -> float:
    """Seconds; 0 where the service does not say, and then nothing is waited for."""
    task = (known.get("task_spec") or [{}])[0] or {}
    container = (task.get("container_spec") or [{}])[0] or {}
    return lenient_duration(container.get("stop_grace_period")) / 1e9
