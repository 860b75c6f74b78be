"""A cluster, as an environment that runs on it sees it: by the name of its stack."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.places import ReleaseError
from components.recipe import Sizing
from components.settings import EnvironmentSettings, SettingsError
from components.storage_reference import Account, outputs_of

MOVE = "elsewhere it goes by a move (docs/restore.md)"
LOOPBACK = ("//127.", "//localhost", "//[::1]")


# A host that is lost says nothing: connections to it would wait for minutes, and a caller with them. So the kernel of
# each container gives up after 6 s without an acknowledgement, or 5 to 7 s without an answer to "are you there" (for
# those who ask). A blip of 4 s is survived.
LOST_PEERS = {
    "net.ipv4.tcp_keepalive_intvl": "1",
    "net.ipv4.tcp_keepalive_probes": "5",
    "net.ipv4.tcp_keepalive_time": "2",
    "net.ipv4.tcp_retries2": "4",
}


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where tasks of a service run: at most one on each host (``spread``), or on one host alone (``pinned``)."""

    spread: bool = False
    pinned: str | None = None

    def to_json(self) -> Mapping[str, object]:
        """What of it makes a generation another one; nothing for one that runs anywhere."""
        return {key: value for key, value in vars(self).items() if value}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What an environment runs on: the names of the cluster's hosts, and where data is: in the folder that all of them
    have (``state``), or in volumes of one of them (``home``).

    One engine alone has no names: nothing is multiplied and nothing placed. It is known by the ID of its ``swarm``.
    """

    cluster: str | None = None
    hosts: tuple[str, ...] = ()
    state: str | None = None
    home: str | None = None
    swarm: str | None = None

    @property
    def kernel(self) -> Mapping[str, str]:
        """Settings of each container's network stack."""
        return LOST_PEERS if self.hosts else {}

    @property
    def place(self) -> dict[str, str | None]:
        """Where the data is, as the stack's outputs record it."""
        return {"cluster": self.cluster, "place": self.state or self.home}

    def of_front(self, sizing: Sizing) -> tuple[Sizing, Placement]:
        """The edge is on every host: whoever reaches one, reaches the product."""
        return self._spread(sizing, len(self.hosts))

    def of_stateless(self, sizing: Sizing) -> tuple[Sizing, Placement]:
        """Two at least, on different hosts, so that one can be lost."""
        replicas = max(sizing.replicas, min(2, len(self.hosts)))
        if replicas > len(self.hosts):
            return sizing, Placement()
        return self._spread(sizing, replicas)

    def of_stateful(self, sizing: Sizing) -> tuple[Sizing, Placement]:
        """In a folder that every host has, a second one stands by. A volume is on one host, and so is its owner."""
        if self.state:
            return self._spread(sizing, min(2, len(self.hosts)))
        return sizing, self.of_volumes()

    def of_volumes(self) -> Placement:
        """For what must be where the volumes are."""
        return Placement(pinned=self.home)

    def _spread(self, sizing: Sizing, replicas: int) -> tuple[Sizing, Placement]:
        if not self.hosts:
            return sizing, Placement()
        return replace(sizing, replicas=replicas), Placement(spread=True)


def ground_of(settings: EnvironmentSettings, account: Account | None, before: Mapping[str, Any]) -> Ground:
    """What the settings' cluster has; ``before`` are the stack's last outputs: its data stays where it is. Raises
    SettingsError, or ReleaseError where DOCKER_HOST is somewhere else."""
    recorded = before.get("state") or {}
    if before.get("services") and recorded.get("cluster") != settings.cluster:
        where = recorded.get("cluster") or "(none)"
        raise SettingsError("cluster", settings.cluster or "(not set)", f"{where}, where this stack's data is; {MOVE}")
    if settings.cluster is None:
        return Ground(swarm=_check_swarm(settings.swarm, before))
    mend = f"a cluster stack that is up: pulumi up -s {settings.cluster}"
    hosts = outputs_of("cluster", settings.cluster, mend).get("hosts")
    if not hosts:
        raise SettingsError("cluster", settings.cluster, f"{mend} (it has no output hosts)")
    if account is not None and any(part in account.endpoint for part in LOOPBACK):
        raise SettingsError("storage", account.endpoint, "an account that every host of a cluster reaches")
    managers = sorted(name for name, host in hosts.items() if host["role"] == "manager")
    home = _home(settings, recorded.get("place"), managers)
    _check_engine(settings.cluster, hosts, [home] if home else managers)
    names = (*managers, *sorted(hosts.keys() - set(managers)))
    return Ground(cluster=settings.cluster, hosts=names, state=settings.state, home=home)


def _check_swarm(swarm: str | None, before: Mapping[str, Any]) -> str | None:
    """What runs at another engine than DOCKER_HOST's is not seen here: it would be made a second time, and half of it.
    Raises ReleaseError."""
    recorded = before.get("swarm") if before.get("services") else None
    if swarm and recorded and swarm != recorded:
        here = os.environ.get("DOCKER_HOST", "not set")
        raise ReleaseError(
            f"DOCKER_HOST ({here}) is Swarm {swarm}, and this stack runs on Swarm {recorded}: "
            'eval "$(make -s env)", or that of its engine; to another engine: docs/restore.md'
        )
    return swarm or recorded


def _home(settings: EnvironmentSettings, place: str | None, managers: Sequence[str]) -> str | None:
    """The host whose volumes have the data; None where it is in a folder. What has data already keeps its place."""
    wanted = settings.state or (place if place in managers else managers[0])
    if place and place != wanted:
        there = place if place.startswith("/") else f"nothing, with a cluster whose manager {place} is"
        raise SettingsError("state", settings.state or "(not set)", f"{there}, where this stack's data is; {MOVE}")
    return None if settings.state else wanted


def _check_engine(cluster: str, hosts: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """What the program talks to must be a manager; where data is in volumes, the very host that has them."""
    here = os.environ.get("DOCKER_HOST", "")
    if here not in {hosts[name]["engine"] for name in allowed}:
        raise SettingsError(
            "cluster",
            cluster,
            f"with DOCKER_HOST the engine of {' or '.join(allowed)} (it is {here or 'not set'!r}); "
            f"export DOCKER_HOST={hosts[allowed[0]]['engine']}",
        )
