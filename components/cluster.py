"""The hosts that environments run on: a Swarm that is patched, enlarged and reduced one host at a time."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_command as command

from components.boundary import CHECKOUT, stop
from components.cluster_settings import ClusterSettings
from components.host import Host, HostArgs
from components.manifest import fingerprint
from components.release_store import ReleaseError, store_of
from components.settings import SettingsError
from components.storage_reference import vendor_of
from hosts.wanted import Wanted


class Cluster(pulumi.ComponentResource):
    """The hosts of one cluster, as a stack of its own: environments come and go without touching them.

    ``outputs``: ``hosts`` (name -> ``address``, ``engine``, ``role``), ``engine``: the first manager's DOCKER_HOST, and
    ``version``. With another ``version`` every host is replaced, one after the other; a host that fails stops it, and
    those before it stay.
    """

    outputs: dict[str, Any]

    def __init__(self, name: str, settings: ClusterSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        try:  # before anything is declared
            store_of(settings.releases, vendor_of(settings.vendor)).read(settings.product, settings.version)
        except (ReleaseError, SettingsError) as error:
            stop(str(error))
        super().__init__("stele:cluster:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        wanted = {
            key: Wanted(
                cluster=name,
                name=key,
                generation=fingerprint(["version", settings.version]),
                role=role,
                subnet=settings.subnet,
                window=settings.window,
            )
            for key, role in settings.hosts.items()
        }
        hosts: dict[str, Host] = {}
        for key, each in wanted.items():
            before = [host.resource for host in hosts.values()][-1:]
            hosts[key] = Host(key, HostArgs(wanted=each, after=before), child)
        first = next(iter(hosts))
        command.local.Command(
            f"{name}-unused",
            create="true",
            # The first thing that `pulumi destroy` does: while environments run here, no host goes.
            delete="python3 -m hosts unused",
            stdin=wanted[first].to_json(),
            dir=str(CHECKOUT),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[host.resource for host in hosts.values()]),
        )
        self.outputs = {
            "version": settings.version,
            "hosts": {
                key: {"address": host.address, "engine": host.engine, "role": settings.hosts[key].value}
                for key, host in hosts.items()
            },
            "engine": hosts[first].engine,
        }
        self.register_outputs(self.outputs)
