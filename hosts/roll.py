"""Bring one host of a cluster to what its stack wants, without an outage.

Every step looks at what is there first, so a roll that was killed is continued by the next `pulumi up`, and one that
was called off is taken back. What leaves is a node: a machine is told to leave only while it is the node that is meant,
for its address may be somebody else's by now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from docker.errors import DockerException

from hosts.engine_client import connect
from hosts.leaving import Leaving, check_unused
from hosts.machines import Machine, Machines, with_data
from hosts.steps import Steps
from hosts.swarm_view import (
    CLUSTER_LABEL,
    ENGINE_LABEL,
    GENERATION_LABEL,
    IN_NONE,
    Json,
    SwarmView,
    labels_of,
    state_of,
)
from hosts.wanted import HOST_LABEL, HostError, Role, Wanted

PORT = 2377
GIVEN_UP = 20  # answers in a row, half a second apart: an engine that is starting says so too


class Roll:
    """What is done to one host of a cluster, which is ``wanted``, or not any more."""

    def __init__(self, wanted: Wanted, machines: Machines) -> None:
        self._wanted, self._machines = wanted, machines
        self._steps = Steps(wanted.name, wanted.window)
        self._last_words: Sequence[str] = ()  # of a machine that is taken away
        self._is_new = False  # joined by this very run

    def converge(self) -> Machine:
        """The wanted host is there and in the Swarm, and no other generation of it is. Raises HostError."""
        with self._telling():
            self._machines.wake()
            found = self._machines.find(self._wanted.name, self._wanted.generation)
            if found is not None:
                self._check_ours(found)
            self._adopt()
            for old in self._others():
                self._check_data(old)
            machine = found or self._new()
            self._join(machine)
            node = self._in_its_role(self._ready(machine))
            self._view().set_availability(node["ID"], "active")  # a roll that was called off had paused it
            for old in self._others():
                self._retire(old)
            for left in self._machines.all():  # it never got as far as the Swarm
                if left.name == machine.name and left.generation != machine.generation:
                    self._machines.take_away(left)
            self._view().tune()
            self._settle(node)
            return machine

    def remove(self, *, given_up: bool = False) -> None:
        """No generation of the host is there any more. Raises HostError. A cluster that is ``given_up`` may be lost."""
        with self._telling():
            self._machines.wake()
            view = self._view()
            if given_up and not view.decides():
                self._abandon()
            elif view.exists():
                self._adopt()
                nodes = self._nodes()
                if len(nodes) == len(view.nodes()):
                    self._dissolve(nodes)
                else:
                    for node in nodes:
                        self._check_data(node)
                        self._retire(node)
            for machine in self._machines.all():
                if machine.name == self._wanted.name:
                    self._machines.take_away(machine)

    def check_unused(self, *, given_up: bool = False) -> None:
        """Nothing runs on the cluster, and none of its hosts has data. Raises HostError, or not: as :meth:`remove`."""
        with self._telling():
            self._machines.wake()
            view = self._view()
            if given_up and not view.decides():
                return
            if view.exists():
                self._check_free(view)

    def _check_free(self, view: SwarmView) -> None:
        check_unused(self._steps, view)
        for node in view.nodes():
            self._check_data(node)

    # -- what is there ------------------------------------------------------------------------------------------------

    def _view(self) -> SwarmView:
        return SwarmView(self._wanted.cluster, [machine.engine for machine in self._machines.all()])

    def _nodes(self) -> list[Json]:
        """The Swarm's nodes of this host, of whatever generation."""
        view = self._view()
        nodes = view.nodes() if view.exists() else []
        return [node for node in nodes if labels_of(node).get(HOST_LABEL) == self._wanted.name]

    def _others(self) -> list[Json]:
        """Those of other generations."""
        return [node for node in self._nodes() if labels_of(node).get(GENERATION_LABEL) != self._wanted.generation]

    def _adopt(self) -> None:
        """The wanted machine is labelled as what it is; another that was killed before that, as what it was."""
        for machine in self._machines.all():
            if machine.name == self._wanted.name:
                allowed = {None, machine.name} if machine.generation == self._wanted.generation else {None}
                with suppress(DockerException, OSError):
                    self._adopt_as(machine, str(state_of(machine.engine).get("NodeID", "")), allowed)
        if noted := self._noted():
            try:
                identity = str(state_of(noted.engine).get("NodeID", ""))
            except (DockerException, OSError):  # it was switched off: what joined from there is lost
                there = (node for node in self._view().nodes() if node["Status"].get("Addr") == noted.address)
                identity = next((str(node["ID"]) for node in there), "")
            self._adopt_as(noted, identity, {None})

    def _adopt_as(self, machine: Machine, identity: str, allowed: Collection[str | None]) -> None:
        """A node is this machine, if nobody but one of the allowed says that it is his."""
        node = self._view().node(identity) if identity else None
        if node is not None and labels_of(node).get(HOST_LABEL) in allowed:
            self._label(node, machine)

    def _noted(self) -> Machine | None:
        """The machine that was to be this host when somebody last began to let one join."""
        view = self._view()
        noted = view.noted(self._wanted.name) if view.exists() else None
        return Machine(name=self._wanted.name, **noted) if noted else None

    def _label(self, node: Json, machine: Machine) -> None:
        """A node says whose it is, and how it is reached."""
        own = {HOST_LABEL: machine.name, GENERATION_LABEL: machine.generation, ENGINE_LABEL: machine.engine}
        self._view().label(node["ID"], own)

    def _machine_of(self, node: Json) -> Machine | None:
        """The machine of a node that has been labelled."""
        labels = labels_of(node)
        if ENGINE_LABEL not in labels:
            return None
        return Machine(labels[HOST_LABEL], labels[GENERATION_LABEL], node["Status"]["Addr"], labels[ENGINE_LABEL])

    def _check_ours(self, machine: Machine) -> None:
        """A machine that is in a Swarm is in this one, and this host of it. Raises HostError."""
        state = self._awake(machine)
        if state["LocalNodeState"] != "active":
            return
        view = self._view()
        node = view.node(str(state["NodeID"])) if view.exists() else None
        if node is None:
            raise HostError(
                f"{machine.address} is in another Swarm: if nobody needs it: docker -H {machine.engine} swarm leave -f"
            )
        owner = labels_of(node).get(HOST_LABEL, machine.name)
        if owner != machine.name:
            raise HostError(f"{machine.address} is host {owner} of this cluster: each host needs a machine of its own")

    def _awake(self, machine: Machine) -> Json:
        """What its engine says of its Swarm, once it has found it again. Raises HostError where it is locked."""
        state: Json = self._steps.until(
            "its engine finds its Swarm again", lambda: _unless_pending(state_of(machine.engine))
        )
        if state["LocalNodeState"] == "locked":
            raise HostError(f"its Swarm is locked: docker -H {machine.engine} swarm unlock")
        return state

    # -- a host comes -------------------------------------------------------------------------------------------------

    def _new(self) -> Machine:
        """A new machine, in the place of one that is dead if there was one."""
        for node in self._nodes():
            if labels_of(node).get(GENERATION_LABEL) == self._wanted.generation:
                self._steps.begin("is dead: the Swarm forgets it")
                self._leaving(node).check_majority()
                self._leaving(node).forget()
        self._steps.begin("boots")
        return self._machines.bring_up(self._wanted)

    def _join(self, machine: Machine) -> None:
        state = self._awake(machine)
        if state["LocalNodeState"] == "active":
            return
        others = self._view().without(machine.engine)
        if state["LocalNodeState"] not in IN_NONE:
            if not others.exists() or others.node(str(state.get("NodeID", ""))) is not None:
                raise HostError(f"its engine is not in its Swarm: {state['LocalNodeState']} {state.get('Error', '')}")
            connect(machine.engine, 60).swarm.leave(force=True)  # the Swarm has forgotten it
        self._steps.begin("joins")
        self._is_new = True
        swarm = connect(machine.engine, 60).swarm
        try:
            if others.exists():
                # A label of the node comes later: a roll that is killed before, and called off, must find the machine.
                where = {"generation": machine.generation, "address": machine.address, "engine": machine.engine}
                others.note(machine.name, where)
                token = others.tokens()[self._wanted.role]
                addresses = [f"{node['ManagerStatus']['Addr'].rpartition(':')[0]}:{PORT}" for node in others.managers()]
                swarm.join(addresses, token, listen_addr=f"0.0.0.0:{PORT}", advertise_addr=machine.address)
            else:
                labels = {CLUSTER_LABEL: self._wanted.cluster}
                swarm.init(advertise_addr=machine.address, listen_addr=f"0.0.0.0:{PORT}", labels=labels)
        except (DockerException, OSError) as error:
            if not self._is_joining(machine):
                self._undo(machine)
                raise self._steps.error(error) from error

    def _is_joining(self, machine: Machine) -> bool:
        """Whether its engine goes on by itself: after 20 s it lets its client go (`swarmConnectTimeout` of moby)."""
        with suppress(DockerException, OSError):
            return bool(state_of(machine.engine)["LocalNodeState"] in {"pending", "active"})
        return False

    def _ready(self, machine: Machine) -> Json:
        """The new node, once the managers see it ready, with the labels that say whose it is."""
        view = self._view()

        def ready() -> Json | None:
            state = state_of(machine.engine)
            given_up.append(state["LocalNodeState"] in {*IN_NONE, "error"})
            if all(given_up[-GIVEN_UP:]) and len(given_up) >= GIVEN_UP:
                raise HostError(f"its engine has given up: {state.get('Error') or 'it is in no Swarm'}")
            node = view.node(str(state.get("NodeID", "")))
            return node if node is not None and node["Status"]["State"] == "ready" else None

        given_up: list[bool] = []
        try:
            node: Json = self._steps.until("the managers see it ready", ready)
        except HostError:
            if self._is_new:  # one that was there before has something to lose
                self._undo(machine)
            raise
        self._label(node, machine)
        return node

    def _in_its_role(self, node: Json) -> Json:
        """The same node, a manager or a worker as it should be: it may have been the other one before."""
        view, role = self._view(), self._wanted.role

        def settled() -> bool:
            status = (view.node(node["ID"]) or {}).get("ManagerStatus")
            return (status or {}).get("Reachability") == "reachable" if role is Role.MANAGER else status is None

        if node["Spec"]["Role"] != role:
            self._leaving(node).check_majority()
            self._steps.begin(f"becomes a {role}")
            view.change_node(node["ID"], lambda spec: spec.update(Role=role.value))
        self._steps.until(f"it is a {role}", settled)
        return node

    def _settle(self, node: Json) -> None:
        """What a roll that was called off had doubled is as before; a twin is forgotten, whose machine this one was; no
        other machine is about to be this host."""
        Leaving(self._steps, self._view(), node).restore()
        for twin in self._nodes():
            if twin["ID"] != node["ID"]:
                self._leaving(twin).check_majority()
                self._leaving(twin).forget()
        if (noted := self._noted()) is not None and self._is_settled(noted):
            self._view().note(noted.name, None)

    def _is_settled(self, noted: Machine) -> bool:
        """Whether a machine that was to be this host is the wanted one, or in no Swarm, or off."""
        if noted.generation == self._wanted.generation:
            return True
        try:
            return bool(state_of(noted.engine)["LocalNodeState"] in IN_NONE)
        except (DockerException, OSError):
            return True

    def _undo(self, machine: Machine) -> None:
        """A host that does not join is no host: nothing of it stays, and what there was stays as it was."""
        self._last_words = self._machines.console(machine.name, machine.generation)
        with suppress(DockerException, OSError, HostError):  # why it does not join is what is told
            identity = str(state_of(machine.engine).get("NodeID", ""))
            view = self._view().without(machine.engine)
            if identity and (node := view.node(identity)) is not None:
                Leaving(self._steps, view, node).demote()  # or the others would count it as a manager that is lost
            self._leave(machine, identity)
            if identity:
                view.remove_node(identity)
                view.note(machine.name, None)
        self._machines.take_away(machine)

    # -- a host goes --------------------------------------------------------------------------------------------------

    def _leaving(self, node: Json) -> Leaving:
        machine, view = self._machine_of(node), self._view()
        return Leaving(self._steps, view.without(machine.engine) if machine and self._is(machine, node) else view, node)

    def _is(self, machine: Machine, node: Json) -> bool:
        """Whether a machine is that node, as far as it says."""
        try:
            return bool(state_of(machine.engine).get("NodeID") == node["ID"])
        except (DockerException, OSError):
            return True  # nobody knows, and it is not asked anything

    def _check_data(self, node: Json) -> None:
        """What is on a host alone cannot be left behind. Before anything is changed. Raises HostError."""
        machine = self._machine_of(node)
        if machine is None:
            return
        try:
            if state_of(machine.engine).get("NodeID") != node["ID"]:
                return
            volumes = with_data(each.name for each in connect(machine.engine).volumes.list())
        except (DockerException, OSError):
            if node["Status"]["State"] == "down":
                return  # it is lost, and what it had
            raise  # silence is no answer
        if volumes:
            raise HostError(
                f"host {machine.name}: it alone has volume {volumes[0]}: move that data first (docs/restore.md), or, "
                f"if nobody needs it: docker -H {machine.engine} volume rm {volumes[0]}"
            )

    def _retire(self, node: Json) -> None:
        """A host leaves, and its machine is taken away."""
        leaving, machine = self._leaving(node), self._machine_of(node)
        leaving.check_majority()
        alive = self._is_alive(node)
        if alive:
            leaving.empty()
            self._check_data(node)  # of somebody who came meanwhile
        self._steps.begin(f"{labels_of(node).get(GENERATION_LABEL, '')} leaves")
        if machine is not None:
            leaving.demote()
            try:
                self._leave(machine, node["ID"])
            except (DockerException, OSError):
                if alive:
                    raise
        leaving.forget()
        if machine is not None:
            self._machines.take_away(machine)

    def _is_alive(self, node: Json) -> bool:
        """``ready``, and not ``down``. After a change of leaders nobody knows for a while. Raises HostError."""
        view = self._view()

        def state() -> str | None:
            found = view.node(node["ID"])
            known = found["Status"]["State"] if found else "down"
            return known if known in {"ready", "down"} else None

        return bool(self._steps.until("the managers know whether it is there", state) == "ready")

    def _dissolve(self, nodes: Sequence[Json]) -> None:
        """The last host goes, and the Swarm with it."""
        self._check_free(self._view())
        for node in nodes:
            if (machine := self._machine_of(node)) is not None and self._is_alive(node):
                self._leave(machine, node["ID"])

    def _abandon(self) -> None:
        """A machine of a Swarm without a majority leaves. One that is in another by now stays there."""
        for machine in self._machines.all():
            if machine.name == self._wanted.name:
                try:
                    state = state_of(machine.engine)
                    if state["LocalNodeState"] not in IN_NONE and not state.get("Cluster"):
                        self._leave(machine, str(state["NodeID"]))
                except (DockerException, OSError):
                    self._steps.begin(f"{machine.address} does not answer, and is given up: switch it off")

    def _leave(self, machine: Machine, identity: str) -> None:
        """The machine leaves its Swarm, if it is that node of it. Raises DockerException or OSError."""
        if (state := state_of(machine.engine)).get("NodeID") == identity and state["LocalNodeState"] not in IN_NONE:
            connect(machine.engine, 60).swarm.leave(force=True)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Errors name host and step, and carry the console's last lines."""
        try:
            yield
        except (HostError, DockerException, OSError) as error:
            # Of a machine that nothing was done to nothing is told: it may be somebody else's.
            own = self._machines.console(self._wanted.name, self._wanted.generation) if self._steps.begun else ()
            said = "".join(f"\n  {self._wanted.name} | {line}" for line in self._last_words or own)
            told = f"{self._steps.error(error)}{'. Last lines of its console:' + said if said else ''}"
            raise HostError(told) from error


def _unless_pending(state: Json) -> Json | None:
    """A host that was just started finds its Swarm again by itself."""
    return None if state["LocalNodeState"] == "pending" else state
