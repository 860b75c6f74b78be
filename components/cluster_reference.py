"""A cluster, as an environment that runs on it sees it: by the name of its stack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from components.recipe import Sizing
from components.settings import EnvironmentSettings, SettingsError
from components.storage_reference import Account, outputs_of

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
    """What an environment runs on: the names of the hosts, in order, and the folder that all of them have, if any.

    One engine alone has no names: nothing is multiplied and nothing placed.
    """

    hosts: tuple[str, ...] = ()
    state: str | None = None

    @property
    def kernel(self) -> Mapping[str, str]:
        """Settings of each container's network stack."""
        return LOST_PEERS if self.hosts else {}

    def of_front(self, sizing: Sizing) -> tuple[Sizing, Placement]:
        """The edge is on every host: whoever reaches one, reaches the product."""
        return self._spread(sizing, len(self.hosts))

    def of_stateless(self, sizing: Sizing) -> tuple[Sizing, Placement]:
        """Two at least, so that a host can be lost."""
        if not self.hosts:
            return sizing, Placement()
        return replace(sizing, replicas=max(sizing.replicas, min(2, len(self.hosts)))), Placement()

    def of_stateful(self, sizing: Sizing) -> tuple[Sizing, Placement]:
        """In a folder that every host has, a second one stands by. A volume is on one host, and so is its owner."""
        if self.state:
            return self._spread(sizing, min(2, len(self.hosts)))
        return sizing, self.of_volumes()

    def of_volumes(self) -> Placement:
        """For what must be where the volumes are."""
        return Placement(pinned=self.hosts[0]) if self.hosts and not self.state else Placement()

    def _spread(self, sizing: Sizing, replicas: int) -> tuple[Sizing, Placement]:
        if not self.hosts:
            return sizing, Placement()
        return replace(sizing, replicas=replicas), Placement(spread=True)


def ground_of(settings: EnvironmentSettings, account: Account | None) -> Ground:
    """What the settings' cluster has. Raises SettingsError."""
    if settings.cluster is None:
        return Ground()
    mend = f"a cluster stack that is up: pulumi up -s {settings.cluster}"
    hosts = outputs_of("cluster", settings.cluster, mend).get("hosts")
    if not hosts:
        raise SettingsError("cluster", settings.cluster, f"{mend} (it has no output hosts)")
    here = os.environ.get("DOCKER_HOST", "")
    if here not in {host["engine"] for host in hosts.values()}:
        raise SettingsError(
            "cluster",
            settings.cluster,
            f"with DOCKER_HOST an engine of it (it is {here or 'not set'!r}); "
            f"export DOCKER_HOST=$(pulumi stack output engine -s {settings.cluster})",
        )
    if account is not None and any(part in account.endpoint for part in LOOPBACK):
        raise SettingsError("storage", account.endpoint, "an account that every host of a cluster reaches")
    return Ground(
        hosts=tuple(sorted(hosts, key=lambda name: (hosts[name]["role"] != "manager", name))), state=settings.state
    )
