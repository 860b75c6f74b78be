"""A host leaves: what it ran is healthy elsewhere first, and nothing that only it has is left behind."""

from __future__ import annotations

from collections.abc import Callable

from docker.errors import DockerException

from hosts.steps import Steps
from hosts.swarm_view import BEFORE_LABEL, STACK_LABEL, Json, SwarmView, ended, labels_of, runs
from hosts.wanted import HostError

UNLIMITED = 10**6


class Leaving:
    """One node of a Swarm, on its way out. ``view`` asks managers that stay."""

    def __init__(self, steps: Steps, view: SwarmView, node: Json) -> None:
        self._steps, self._view, self._node, self._id = steps, view, node, str(node["ID"])

    def check_majority(self) -> None:
        """Those managers that stay must be able to decide without this one. Raises HostError."""
        if self._node["Spec"]["Role"] != "manager":
            return
        managers = [each for each in self._view.nodes() if each["Spec"]["Role"] == "manager"]
        reached = {each["ID"] for each in self._view.managers()}
        now, later = len(reached), len(reached - {self._id})
        if now * 2 <= len(managers) or later * 2 <= len(managers) - 1:
            raise self._steps.error(
                f"{now} of {len(managers)} managers answer: without this one they have no majority; "
                "bring another one back first"
            )

    def empty(self) -> None:
        """Everything that runs here runs elsewhere first. Raises HostError: then all is as it was."""
        view = self._view
        if not self._others():
            raise self._steps.error("no other host takes its tasks; nothing was changed")
        if self._node["Spec"]["Availability"] != "drain":
            view.set_availability(self._id, "pause")
            try:
                self._double()
            except (HostError, DockerException, OSError):
                self.restore()
                view.set_availability(self._id, "active")
                raise
            self._steps.begin("what it ran is healthy elsewhere: it is drained")
            view.set_availability(self._id, "drain")
        self.restore()
        self._steps.until("its tasks have ended", lambda: all(map(ended, view.tasks(node=self._id))))

    def restore(self) -> None:
        """As many tasks as before they were doubled."""
        labels = labels_of(self._view.node(self._id) or self._node)
        noted = {key: value for key, value in labels.items() if key.startswith(BEFORE_LABEL)}
        for key, value in noted.items():
            self._view.scale(key.removeprefix(BEFORE_LABEL), int(value))
        if noted:
            self._view.label(self._id, dict.fromkeys(noted))

    def demote(self) -> None:
        """It is no manager any more."""
        if self._node["Spec"]["Role"] == "manager" and self._view.node(self._id) is not None:
            self._view.change_node(self._id, lambda spec: spec.update(Role="worker"))
            self._steps.until("it is no manager any more", self._is_worker)

    def forget(self) -> None:
        """The Swarm knows it no longer. What was doubled for it is as before: the number from before is its label."""
        self.restore()
        self.demote()
        self._view.remove_node(self._id)

    def _is_worker(self) -> bool:
        node = self._view.node(self._id)
        return node is None or node["Status"]["State"] == "down" or "ManagerStatus" not in node

    def _double(self) -> None:
        """What runs here runs elsewhere too, as often as it did, or as other hosts take, and is healthy there."""
        view, noted = self._view, labels_of(self._view.node(self._id) or {})
        goals: dict[str, tuple[str, int]] = {}
        for found in view.services():
            service, here = found["ID"], self._running(found["ID"], lambda node: node == self._id)
            if here:
                now = found["Spec"]["Mode"]["Replicated"]["Replicas"]
                before = int(noted.get(BEFORE_LABEL + service, now))
                goal = min(before, self._room(found))
                goals[service] = (found["Spec"]["Name"], goal)
                view.label(self._id, {BEFORE_LABEL + service: str(before)})
                view.scale(service, max(before, here + goal))
        for service, (name, goal) in goals.items():
            self._steps.begin(f"{name} gets healthy elsewhere")

            def healthy(service: str = service, goal: int = goal) -> bool:
                gone = service not in {each["ID"] for each in view.services()}
                return gone or self._running(service, lambda node: node != self._id) >= goal

            try:
                self._steps.until(f"{name} is healthy elsewhere", healthy)
            except HostError as error:
                tasks = (task for task in view.tasks(service=service) if not ended(task) and not runs(task))
                raise HostError(f"{error}: {'; '.join(map(_told, tasks)) or 'no task'}") from error

    def _running(self, service: str, where: Callable[[str], bool]) -> int:
        return sum(1 for task in self._view.tasks(service=service) if runs(task) and where(task.get("NodeID", "")))

    def _room(self, service: Json) -> int:
        """How many tasks of a service other hosts take: of the edge, each one."""
        most = (service["Spec"]["TaskTemplate"].get("Placement") or {}).get("MaxReplicas") or UNLIMITED
        return int(most) * len(self._others())

    def _others(self) -> list[Json]:
        """Nodes that take what this one had."""
        ready = (node for node in self._view.nodes() if node["ID"] != self._id and node["Status"]["State"] == "ready")
        return [node for node in ready if node["Spec"]["Availability"] == "active"]


def check_unused(steps: Steps, view: SwarmView) -> None:
    """With its last host a cluster goes, so nothing may run on it. Raises HostError."""
    services = [each["Spec"] for each in view.all_services()]
    if services:
        stacks = sorted({(each.get("Labels") or {}).get(STACK_LABEL, each["Name"]) for each in services})
        raise HostError(
            f"host {steps.host}: {', '.join(stacks)} still runs on this cluster; pulumi destroy -s {stacks[0]} first"
        )


def _told(task: Json) -> str:
    status = task["Status"]
    return f"task {task['ID'][:12]}: {status['State']} {status.get('Err') or status.get('Message') or ''}".strip()
