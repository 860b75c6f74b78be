"""Replace a host without an outage: what ran on it is healthy elsewhere first, and managers keep their majority.

Every step looks at what is there first, so a roll that was killed is continued by the next `pulumi up`, and one that
was called off is taken back.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from docker.errors import APIError, DockerException

from hosts.machines import Machine, Machines
from hosts.swarm_view import (
    BEFORE_LABEL,
    GENERATION_LABEL,
    HOST_LABEL,
    STACK_LABEL,
    Json,
    SwarmView,
    connect,
    ended,
    runs,
    state_of,
)
from hosts.wanted import HostError, Role, Wanted

PORT = 2377
UNLIMITED = 10**6


class Roll:
    """What is done to one host of a cluster, which is ``wanted``, or not any more."""

    def __init__(self, wanted: Wanted, machines: Machines) -> None:
        self._wanted, self._machines = wanted, machines
        self._step = "looks"
        self._last_words: Sequence[str] = ()  # of a machine that is taken away

    # -- the two verbs ------------------------------------------------------------------------------------------------

    def converge(self) -> Machine:
        """The wanted host is there and in the Swarm, and no other generation of it is. Raises HostError."""
        with self._telling():
            self._adopt()
            for old in self._others():
                self._check_state(old)
            machine = self._join(self._present())
            node = self._labelled(machine)
            for old in self._others():
                self._retire(old)
            for left in self._machines.all():  # it never got as far as the Swarm
                if left.name == machine.name and left.generation != machine.generation:
                    self._machines.take_away(left.name, left.generation)
            self._view().tune()
            self._settle(node)
            return machine

    def remove(self) -> None:
        """No generation of the host is there any more. Raises HostError."""
        with self._telling():
            self._adopt()
            own = [each for each in self._machines.all() if each.name == self._wanted.name]
            if not [each for each in self._machines.all() if each.name != self._wanted.name]:
                self._check_unused()
            elif self._view().exists():
                for old in self._nodes():
                    self._check_state(old)
                    self._retire(old)
            for machine in own:
                self._machines.take_away(machine.name, machine.generation)

    # -- what is there ------------------------------------------------------------------------------------------------

    def _view(self) -> SwarmView:
        return SwarmView(self._wanted.cluster, [machine.engine for machine in self._machines.all()])

    def _nodes(self) -> list[Json]:
        """The Swarm's nodes of this host, of whatever generation."""
        view = self._view()
        nodes = view.nodes() if view.exists() else []
        return [node for node in nodes if _labels(node).get(HOST_LABEL) == self._wanted.name]

    def _adopt(self) -> None:
        """A host that was killed between joining and being labelled is labelled now."""
        for machine in self._machines.all():
            if machine.name != self._wanted.name:
                continue
            with suppress(DockerException, OSError):
                identity = state_of(machine.engine).get("NodeID")
                if identity and self._view().node(identity) is not None:
                    own = {HOST_LABEL: machine.name, GENERATION_LABEL: machine.generation}
                    self._view().label(identity, own)

    def _others(self) -> list[Json]:
        return [node for node in self._nodes() if _labels(node).get(GENERATION_LABEL) != self._wanted.generation]

    def _machine_of(self, node: Json) -> Machine | None:
        own = (_labels(node).get(HOST_LABEL), _labels(node).get(GENERATION_LABEL))
        return next((each for each in self._machines.all() if (each.name, each.generation) == own), None)

    # -- a host comes -------------------------------------------------------------------------------------------------

    def _present(self) -> Machine:
        """The machine of this generation: the one that is there, or a new one in the place of one that is dead."""
        found = self._machines.find(self._wanted.name, self._wanted.generation)
        if found is not None:
            return found
        for node in self._nodes():
            if _labels(node).get(GENERATION_LABEL) == self._wanted.generation:
                self._forget(node)
        self._say("boots")
        return self._machines.bring_up(self._wanted)

    def _join(self, machine: Machine) -> Machine:
        state = state_of(machine.engine)
        if state["LocalNodeState"] == "active":
            return machine
        if state["LocalNodeState"] not in {"inactive", ""}:  # its Swarm is lost to it
            self._leave(machine)
        self._say("joins")
        swarm = connect(machine.engine, 60).swarm
        try:
            others = self._view().without(machine.engine)
            if others.exists():
                token = others.tokens()[self._wanted.role]
                addresses = [f"{node['ManagerStatus']['Addr'].rpartition(':')[0]}:{PORT}" for node in others.managers()]
                swarm.join(addresses, token, listen_addr=f"0.0.0.0:{PORT}", advertise_addr=machine.address)
            else:
                swarm.init(advertise_addr=machine.address, listen_addr=f"0.0.0.0:{PORT}")
        except (DockerException, OSError) as error:
            self._undo(machine)
            raise self._error(" ".join(str(error).split())) from error
        return machine

    def _labelled(self, machine: Machine) -> str:
        """Wait until the managers see it ready, and say whose it is; the node's ID."""
        view = self._view()

        def ready() -> str | None:
            identity = str(state_of(machine.engine).get("NodeID", ""))
            node = view.node(identity)
            if node is None or node["Status"]["State"] != "ready":
                return None
            if self._wanted.role is Role.MANAGER and node["ManagerStatus"]["Reachability"] != "reachable":
                return None
            return identity

        try:
            identity: str = self._until("the managers see it ready", ready)
        except HostError:
            self._undo(machine)
            raise
        view.label(identity, {HOST_LABEL: self._wanted.name, GENERATION_LABEL: self._wanted.generation})
        return identity

    def _undo(self, machine: Machine) -> None:
        """A host that does not join is no host: nothing of it stays, and what there was stays as it was."""
        self._last_words = self._machines.console(machine.name, machine.generation)
        with suppress(HostError, DockerException, OSError):
            identity = str(state_of(machine.engine).get("NodeID", ""))
            self._leave(machine)
            if identity:
                self._view().without(machine.engine).remove_node(identity)
        self._machines.take_away(machine.name, machine.generation)

    def _settle(self, identity: str) -> None:
        """The wanted host takes tasks, and what a roll that was called off had doubled is as before."""
        view = self._view()
        node = view.node(identity)
        if node is None:
            raise self._error("the managers do not know it any more")
        view.set_availability(identity, "active")
        self._restore(node)

    # -- a host goes --------------------------------------------------------------------------------------------------

    def _check_state(self, node: Json) -> None:
        """What is on a host alone cannot be left behind. Before anything is changed."""
        if node["Status"]["State"] != "ready":
            return
        view = self._view()
        services = {each["ID"]: each for each in view.services()}
        for task in view.tasks(node=node["ID"]):
            mounts = task["Spec"]["ContainerSpec"].get("Mounts") or []
            volumes = [mount["Source"] for mount in mounts if mount["Type"] == "volume" and mount.get("Source")]
            if runs(task) and volumes and task["ServiceID"] in services:
                owner = services[task["ServiceID"]]["Spec"]["Name"]
                raise HostError(
                    f"host {self._wanted.name}: it has volume {volumes[0]} of {owner}, which is on no other: let its "
                    "stack keep its data where every host has it (pulumi config set state FOLDER; docs/hosts.md)"
                )

    def _check_unused(self) -> None:
        """With the last host, the cluster goes."""
        view = self._view()
        services = view.services() if view.exists() else []
        if services:
            named = sorted(
                {(each["Spec"].get("Labels") or {}).get(STACK_LABEL, each["Spec"]["Name"]) for each in services}
            )
            raise HostError(
                f"host {self._wanted.name}: it is the last one, and {', '.join(named)} still runs on it; "
                f"pulumi destroy -s {named[0]} first"
            )

    def _retire(self, node: Json) -> None:
        """A host leaves."""
        view, machine = self._view(), self._machine_of(node)
        if machine is not None:
            view = view.without(machine.engine)
        generation = _labels(node).get(GENERATION_LABEL, "")
        if node["Status"]["State"] == "ready":
            self._empty(view, node)
        self.check_majority(view, node)
        self._say(f"{generation} leaves")
        if node["Spec"]["Role"] == "manager":
            view.change_node(node["ID"], lambda spec: spec.update(Role="worker"))
            self._until("it is no manager any more", lambda: _is_worker(view, node["ID"]))
        if machine is not None:
            with suppress(DockerException, OSError):  # it may be dead
                self._leave(machine)
        view.remove_node(node["ID"])
        if machine is not None:
            self._machines.take_away(machine.name, machine.generation)

    def _empty(self, view: SwarmView, node: Json) -> None:
        """Everything that runs on it runs elsewhere first."""
        identity, others = node["ID"], [each for each in view.nodes() if each["ID"] != node["ID"] and _takes(each)]
        if not others:
            raise self._error("no other host takes its tasks; nothing was changed")
        if node["Spec"]["Availability"] != "drain":
            view.set_availability(identity, "pause")
            try:
                self._double(view, identity)
            except HostError:
                self._restore(node)
                view.set_availability(identity, "active")
                raise
            self._say("what it ran is healthy elsewhere: it is drained")
            view.set_availability(identity, "drain")
        self._restore(node)
        self._until("its tasks have ended", lambda: all(ended(task) for task in view.tasks(node=identity)))

    def _double(self, view: SwarmView, identity: str) -> None:
        """What runs here runs elsewhere too, as often as it did, or as other hosts take, and is healthy there."""
        noted = _labels(view.node(identity) or {})
        goals: dict[str, tuple[str, int]] = {}
        for found in view.services():
            service, here = found["ID"], self._running(view, found["ID"], lambda node: node == identity)
            if here:
                now = found["Spec"]["Mode"]["Replicated"]["Replicas"]
                before = int(noted.get(BEFORE_LABEL + service, now))
                goal = min(before, self._room(view, found, identity))
                goals[service] = (found["Spec"]["Name"], goal)
                view.label(identity, {BEFORE_LABEL + service: str(before)})
                view.scale(service, max(before, here + goal))
        for service, (name, goal) in goals.items():
            self._say(f"{name} gets healthy elsewhere")

            def healthy(service: str = service, goal: int = goal) -> bool:
                gone = service not in {each["ID"] for each in view.services()}
                return gone or self._running(view, service, lambda node: node != identity) >= goal

            try:
                self._until(f"{name} is healthy elsewhere", healthy)
            except HostError as error:
                tasks = (task for task in view.tasks(service=service) if not ended(task) and not runs(task))
                raise HostError(f"{error}: {'; '.join(map(_told_state, tasks)) or 'no task'}") from error

    def _running(self, view: SwarmView, service: str, where: Callable[[str], bool]) -> int:
        return sum(1 for task in view.tasks(service=service) if runs(task) and where(task.get("NodeID", "")))

    def _room(self, view: SwarmView, service: Json, identity: str) -> int:
        """How many tasks of a service other hosts take: of the edge, each one."""
        most = (service["Spec"]["TaskTemplate"].get("Placement") or {}).get("MaxReplicas") or UNLIMITED
        return int(most) * sum(1 for node in view.nodes() if node["ID"] != identity and _takes(node))

    def _restore(self, node: Json) -> None:
        """As many tasks as before."""
        view = self._view()
        noted = {
            key: value for key, value in _labels(view.node(node["ID"]) or node).items() if key.startswith(BEFORE_LABEL)
        }
        for key, value in noted.items():
            view.scale(key.removeprefix(BEFORE_LABEL), int(value))
        if noted:
            view.label(node["ID"], dict.fromkeys(noted))

    def check_majority(self, view: SwarmView, node: Json) -> None:
        """Those managers that stay must be able to decide without this one."""
        if node["Spec"]["Role"] != "manager":
            return
        managers = [each for each in view.nodes() if each["Spec"]["Role"] == "manager"]
        reached = {each["ID"] for each in view.managers()}
        now, later = len(reached), len(reached - {node["ID"]})
        if now * 2 <= len(managers) or later * 2 <= len(managers) - 1:
            raise self._error(
                f"{now} of {len(managers)} managers answer: without this one they have no majority; "
                "bring another one back first"
            )

    def _forget(self, node: Json) -> None:
        """A node whose machine is dead."""
        self._say("is dead: the Swarm forgets it")
        view = self._view()
        self.check_majority(view, node)
        if node["Spec"]["Role"] == "manager":
            view.change_node(node["ID"], lambda spec: spec.update(Role="worker"))
        view.remove_node(node["ID"])

    def _leave(self, machine: Machine) -> None:
        try:
            connect(machine.engine, 60).swarm.leave(force=True)
        except APIError as error:
            if error.status_code != 503:  # it is in none
                raise

    # -- what is said -------------------------------------------------------------------------------------------------

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Errors name host and step, and carry the console's last lines."""
        try:
            yield
        except (HostError, DockerException, OSError) as error:
            own = self._machines.console(self._wanted.name, self._wanted.generation)
            said = "".join(f"\n  {self._wanted.name} | {line}" for line in self._last_words or own)
            text = str(error) if isinstance(error, HostError) else str(self._error(" ".join(str(error).split())))
            if not text.startswith("host "):
                text = str(self._error(text))
            raise HostError(f"{text}{'. Last lines of its console:' + said if said else ''}") from error

    def _say(self, step: str) -> None:
        self._step = step
        print(f"host {self._wanted.name}: {step}", file=sys.stderr, flush=True)

    def _error(self, reason: str) -> HostError:
        return HostError(f"host {self._wanted.name}: {self._step}: {reason}")

    def _until(self, what: str, condition: Callable[[], Any]) -> Any:
        """Poll, patiently towards engines that are just starting or leaving."""
        deadline, last = time.monotonic() + self._wanted.window, ""
        while time.monotonic() < deadline:
            try:
                if value := condition():
                    return value
            except (DockerException, OSError) as error:
                last = f" ({' '.join(str(error).split())})"
            time.sleep(0.5)
        raise HostError(f"host {self._wanted.name}: {self._step}: not within {self._wanted.window} s: {what}{last}")


def _labels(node: Json) -> dict[str, str]:
    return dict((node.get("Spec") or {}).get("Labels") or {})


def _takes(node: Json) -> bool:
    return bool(node["Status"]["State"] == "ready" and node["Spec"]["Availability"] == "active")


def _is_worker(view: SwarmView, identity: str) -> bool:
    node = view.node(identity)
    return node is None or "ManagerStatus" not in node


def _told_state(task: Json) -> str:
    status = task["Status"]
    return f"task {task['ID'][:12]}: {status['State']} {status.get('Err') or status.get('Message') or ''}".strip()
