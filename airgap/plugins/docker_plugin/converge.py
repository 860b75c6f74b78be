"""Whether a service has become what was asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from .engine import Engine, EngineError, path_of
from .waiting import Clock

Attributes = dict[str, Any]

#: The order in which a task passes through its states.
_ORDER = (
    *("new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running"),
    *("complete", "shutdown", "failed", "rejected"),
)
STATES = {state: rank for rank, state in enumerate(_ORDER, start=1)}
RUNNING = STATES["running"]
#: An engine decides within this time whether an update has to touch any task; upstream waits as long.
SETTLE_SECONDS = 7.0
FAILED = {
    "rollback_completed": "service rollback completed",
    "paused": "service update paused",
    "rollback_paused": "service rollback paused",
}


@dataclass(frozen=True)
class Convergence:
    """Watches one service."""

    engine: Engine
    identity: str

    def created(self) -> str | None:
        """The identity once every task runs (with a health check: is healthy)."""
        return self.identity if self._all_running(self._inspect()) else None

    def updated(self, clock: Clock, seconds: float, before: Attributes) -> str:
        """Wait for an update. Raises WaitTimeoutError, or EngineError when the engine pauses it or rolls it back.

        That all tasks run says nothing while the engine is updating: between a failed task and the rollback, all do.
        """
        started = time.monotonic()
        untouched = not _touches_tasks(before["Spec"], self._inspect()["Spec"])

        def completed() -> str | None:
            service = self._inspect()
            status = service.get("UpdateStatus") or {}
            state = status.get("State") or ""
            if state == "completed":
                return self.identity
            if state in FAILED:
                raise EngineError(f"{FAILED[state]}: {status.get('Message', '')}")
            settling = not state and not untouched and time.monotonic() - started < SETTLE_SECONDS
            if state == "updating" or settling or not self._all_running(service):
                return None
            if state == "rollback_started":
                # The message still names the task that failed; that of the completed rollback does not.
                raise EngineError(f"{FAILED['rollback_completed']}: {status.get('Message', '')}")
            return self.identity

        return clock.until(completed, seconds)

    def _inspect(self) -> Attributes:
        service: Attributes = self.engine.get(path_of("services", self.identity))
        return service

    def _all_running(self, service: Attributes) -> bool:
        replicated = service["Spec"]["Mode"].get("Replicated") or {}
        replicas = replicated.get("Replicas")
        if replicas is None:
            raise EngineError("no replica count")
        tasks = self.engine.get("/tasks", filters={"service": [self.identity], "desired-state": ["running"]})
        nodes = {node["ID"] for node in self.engine.get("/nodes") if node["Status"]["State"] != "down"}
        slots = _by_slot(tasks, nodes)
        return sum(1 for task in slots.values() if _runs(task)) == int(replicas)


def _runs(task: Attributes) -> bool:
    return STATES.get(task.get("DesiredState", ""), 0) <= RUNNING and task["Status"]["State"] == "running"


def _by_slot(tasks: list[Attributes], nodes: set[str]) -> dict[int, Attributes]:
    """One task a slot: the one that is wanted least far along, then the one that is least far along; on live nodes."""
    slots: dict[int, Attributes] = {}
    for task in tasks:
        rank = _rank(task)
        if 0 in rank or (task.get("NodeID") and task["NodeID"] not in nodes):
            continue
        slot = task.get("Slot") or 0
        if slot not in slots or rank < _rank(slots[slot]):
            slots[slot] = task
    return slots


def _rank(task: Attributes) -> tuple[int, int]:
    return STATES.get(task.get("DesiredState", ""), 0), STATES.get(task["Status"]["State"], 0)


def _touches_tasks(before: Attributes, after: Attributes) -> bool:
    return bool(before.get("TaskTemplate") != after.get("TaskTemplate"))
