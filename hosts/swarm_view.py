"""A Swarm as its managers see it, through whichever of them answers."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException

from hosts.engine_client import UNREACHED, connect
from hosts.ssh import is_there
from hosts.wanted import HostError, Role

CLUSTER_LABEL = "stele.cluster"  # of a Swarm: whose it is
JOINING_LABEL = "stele.joining."  # of a Swarm, and a host's name: the machine that is to be that host
GENERATION_LABEL = "stele.generation"
ENGINE_LABEL = "stele.engine"  # of a node: its DOCKER_HOST
STACK_LABEL = "stele.stack"  # of a service: whose it is (components/swarm.py sets it)
# What a service had before its tasks were doubled, on the node that they leave: a killed roll is continued from there.
BEFORE_LABEL = "stele.before."
PATIENCE = 60  # seconds in which a Swarm finds a new leader, at the latest
HEARTBEAT = 4  # seconds: a node counts as lost after three without one, where Swarm's own default makes it 15 s
TRIES = 20  # to change what somebody else changes too
DONE = {"complete", "shutdown", "failed", "rejected", "remove", "orphaned"}

IN_NONE = {"inactive", ""}  # states of an engine that is in no Swarm
_failed: dict[str, float] = {}  # when an engine did not answer, or not as a manager
_managing: set[tuple[str, str]] = set()  # clusters, and engines that were seen to be managers of them

Json = dict[str, Any]
T = TypeVar("T")


def state_of(engine: str) -> Json:
    """What an engine says of its Swarm: LocalNodeState, NodeID, ControlAvailable. Raises DockerException or OSError."""
    return dict(connect(engine, 10).info()["Swarm"])


class _Silence(Exception):
    """No manager has answered; why each did not. ``leaderless``: one did, and has no leader."""

    def __init__(self, reasons: Sequence[str], *, leaderless: bool) -> None:
        super().__init__("; ".join(reasons) or "none is known")
        self.reasons, self.leaderless = reasons, leaderless


class SwarmView:
    """The managers' view. ``engines``: DOCKER_HOSTs of hosts that may be managers."""

    def __init__(self, cluster: str, engines: Sequence[str]) -> None:
        self._cluster, self._engines = cluster, list(engines)

    def exists(self) -> bool:
        """Whether any of the engines is in the Swarm. HostError where nobody can tell: silence is no answer."""
        silent = []
        for engine in _likeliest(self._engines):
            try:
                state = state_of(engine)
            except (DockerException, OSError) as error:
                _failed[engine] = time.monotonic()
                silent.append(f"{engine} ({' '.join(str(error).split())})")
            else:
                if state["LocalNodeState"] not in IN_NONE and not self._is_foreign(engine, state):
                    return True
        if silent:
            raise HostError(f"who may have the Swarm does not answer: {', '.join(silent)}: {self._mend()}")
        return False

    def decides(self) -> bool:
        """Whether its managers have a majority: whoever may be choosing a leader is waited for. Raises HostError where
        one is there and lets nobody in."""
        try:
            self._patiently(lambda api: api.nodes(), with_silence=False)
        except _Silence as silence:
            if shut := [why for why in silence.reasons if is_there(why)]:
                raise HostError(f"{shut[0]}: it is there: what is not lost is not given up") from None
            return False
        return True

    def _is_foreign(self, engine: str, state: Json) -> bool:
        """Whether this is a manager of another cluster's Swarm. Engines of this machine once had no such label."""
        if not state.get("Cluster"):  # a worker, or a manager without a leader
            return False
        cluster = cluster_of(state)
        return cluster != self._cluster and not (cluster is None and engine.startswith("unix://"))

    def _mend(self) -> str:
        cluster = self._cluster
        return f"bring it back; or give up what is on {cluster}: STELE_GIVE_UP={cluster} pulumi destroy -s {cluster}"

    def ask(self, what: Callable[[Any], T]) -> T:
        """Ask a manager; another one when it is gone, and again while they choose a leader. Raises HostError."""
        try:
            return self._patiently(what)
        except _Silence as why:
            raise HostError(f"no manager of cluster {self._cluster} answers ({why}): {self._mend()}") from None

    def _patiently(self, what: Callable[[Any], T], *, with_silence: bool = True) -> T:
        """The same; where nobody is there at all, at once if so asked. Raises _Silence."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._once(what)
            except _Silence as silence:
                if time.monotonic() > deadline or not (silence.leaderless or with_silence):
                    raise
            time.sleep(0.5)

    def _once(self, what: Callable[[Any], T]) -> T:
        """What the first manager answers. Raises _Silence."""
        reasons, leaderless = [], False
        for engine in _likeliest(self._engines):
            try:
                if self._manages(engine):
                    return what(connect(engine).api)
                reasons.append(f"{engine} does not manage it")
            except APIError as error:
                if error.status_code not in {500, UNREACHED, 503}:  # of no leader, over no SSH, of no manager
                    raise
                leaderless = leaderless or error.status_code != UNREACHED
                reasons.append(f"{engine}: {' '.join(str(error.explanation).split())}")
            except (DockerException, OSError) as error:
                reasons.append(f"{engine}: {' '.join(str(error).split())}")
            _failed[engine] = time.monotonic()
        raise _Silence(reasons, leaderless=leaderless)

    def _manages(self, engine: str) -> bool:
        """Whether this engine is a manager of this cluster's Swarm."""
        if (self._cluster, engine) in _managing:
            return True
        state = state_of(engine)
        if not state.get("ControlAvailable") or self._is_foreign(engine, state):
            return False
        if cluster_of(state) == self._cluster:
            _managing.add((self._cluster, engine))
        return True

    def without(self, engine: str) -> SwarmView:
        """The same view, asked of others."""
        return SwarmView(self._cluster, [each for each in self._engines if each != engine])

    # -- nodes --------------------------------------------------------------------------------------------------------

    def nodes(self) -> list[Json]:
        """Every node."""
        return list(self.ask(lambda api: api.nodes()))

    def node(self, identity: str) -> Json | None:
        """One of them."""
        return next((node for node in self.nodes() if node["ID"] == identity), None)

    def tokens(self) -> Mapping[Role, str]:
        """What lets a host join, by role."""
        tokens = self.ask(lambda api: api.inspect_swarm())["JoinTokens"]
        return {Role.MANAGER: tokens["Manager"], Role.WORKER: tokens["Worker"]}

    def managers(self) -> list[Json]:
        """The managers that others reach."""
        return [node for node in self.nodes() if (node.get("ManagerStatus") or {}).get("Reachability") == "reachable"]

    def change_node(self, identity: str, change: Callable[[Json], None]) -> None:
        """Change a node's specification."""
        self._change(
            lambda api: api.inspect_node(identity),
            change,
            lambda api, version, spec: api.update_node(identity, version, spec),
        )

    def _change(
        self,
        read: Callable[[Any], Json | None],
        change: Callable[[Json], None],
        write: Callable[[Any, int, Json], object],
    ) -> None:
        """Read a thing, if it is there, and write its changed specification; again when somebody else was faster."""

        def update(api: Any) -> None:
            for _ in range(TRIES):
                found = read(api)
                if found is None:
                    return
                spec = copy.deepcopy(found["Spec"])
                change(spec)
                if spec == found["Spec"]:
                    return
                try:
                    write(api, found["Version"]["Index"], spec)
                except APIError as error:
                    if "out of sequence" not in str(error.explanation):
                        raise
                else:
                    return
            raise HostError("the Swarm is changed by somebody else all the time; try again")

        self.ask(update)

    def label(self, identity: str, labels: Mapping[str, str | None]) -> None:
        """Set labels of a node, or take those away that are None."""

        def change(spec: Json) -> None:
            own = spec.setdefault("Labels", {}) or {}
            spec["Labels"] = {k: v for k, v in (own | dict(labels)).items() if v is not None}

        self.change_node(identity, change)

    def set_availability(self, identity: str, availability: str) -> None:
        """``active``, ``pause`` (nothing new) or ``drain`` (nothing)."""
        self.change_node(identity, lambda spec: spec.update(Availability=availability))

    def remove_node(self, identity: str) -> None:
        """Forget a node."""
        with suppress(docker.errors.NotFound):
            self.ask(lambda api: api.remove_node(identity, force=True))

    # -- services -----------------------------------------------------------------------------------------------------

    def all_services(self) -> list[Json]:
        """Every service."""
        return list(self.ask(lambda api: api.services()))

    def services(self) -> list[Json]:
        """Every service that has a number of replicas."""
        return [each for each in self.all_services() if "Replicated" in each["Spec"]["Mode"]]

    def tasks(self, **filters: str) -> list[Json]:
        """Tasks by ``node`` or ``service``."""
        return list(self.ask(lambda api: api.tasks(filters)))

    def scale(self, service: str, replicas: int) -> None:
        """Change the number of tasks and nothing else: what runs stays what it is. Nothing where it is gone."""

        def find(api: Any) -> Json | None:
            return next((each for each in api.services({"id": service}) if each["ID"] == service), None)

        def write(api: Any, version: int, spec: Json) -> None:
            # docker-py's own call rebuilds the specification; this one hands back what the engine gave.
            url = api._url("/services/{0}/update", service)  # noqa: SLF001
            api._raise_for_status(api._post_json(url, data=spec, params={"version": version}))  # noqa: SLF001

        self._change(find, lambda spec: spec["Mode"]["Replicated"].update(Replicas=replicas), write)

    def note(self, host: str, joining: Mapping[str, str] | None) -> None:
        """Let the Swarm say which machine is about to be this host, or that none is."""

        def change(spec: Json) -> None:
            others = {key: value for key, value in (spec.get("Labels") or {}).items() if key != JOINING_LABEL + host}
            spec["Labels"] = others | ({} if joining is None else {JOINING_LABEL + host: json.dumps(joining)})

        self._change_swarm(change)

    def noted(self, host: str) -> dict[str, str] | None:
        """What was noted."""
        labels = self.ask(lambda api: api.inspect_swarm())["Spec"].get("Labels") or {}
        return json.loads(labels[JOINING_LABEL + host]) if JOINING_LABEL + host in labels else None

    def tune(self) -> None:
        """Let the Swarm notice a lost node sooner, and say whose it is."""

        def change(spec: Json) -> None:
            spec["Dispatcher"].update(HeartbeatPeriod=HEARTBEAT * 1_000_000_000)
            spec["Labels"] = (spec.get("Labels") or {}) | {CLUSTER_LABEL: self._cluster}

        self._change_swarm(change)

    def _change_swarm(self, change: Callable[[Json], None]) -> None:
        self._change(
            lambda api: api.inspect_swarm(),
            change,
            lambda api, version, spec: api.update_swarm(version, swarm_spec=spec),
        )


def _likeliest(engines: Sequence[str]) -> list[str]:
    """Those that never failed first, then whoever did longest ago: of a dead one it takes seconds to find out."""
    return sorted(engines, key=lambda engine: _failed.get(engine, 0.0))


def cluster_of(state: Json) -> str | None:
    """Whose Swarm an engine manages, by what it says of it; None where no Stele made it."""
    labels = ((state.get("Cluster") or {}).get("Spec") or {}).get("Labels") or {}
    return labels.get(CLUSTER_LABEL)


def labels_of(node: Json) -> dict[str, str]:
    """A node's labels."""
    return dict((node.get("Spec") or {}).get("Labels") or {})


def runs(task: Json) -> bool:
    """Whether a task does what it should."""
    return bool(task["DesiredState"] == "running" and task["Status"]["State"] == "running")


def ended(task: Json) -> bool:
    """Whether a task is over."""
    return task["Status"]["State"] in DONE
