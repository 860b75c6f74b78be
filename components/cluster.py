"""The hosts that environments run on: a Swarm that is patched, enlarged and reduced one host at a time."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_command as command

from components.boundary import CHECKOUT, stop
from components.cluster_settings import ClusterSettings
from components.host import Host, HostArgs
from components.manifest import Manifest, fingerprint
from components.release_store import ReleaseError, store_of
from components.settings import SettingsError
from components.storage_reference import vendor_of
from hosts.wanted import Role, Wanted


class Cluster(pulumi.ComponentResource):
    """The hosts of one cluster, as a stack of its own: environments come and go without touching them.

    ``outputs``: ``hosts`` (name -> ``address``, ``engine``, ``role``), ``engine``: the first manager's DOCKER_HOST, and
    ``version``. With another ``version`` every host is replaced, one after the other; a host that fails stops it, and
    those before it stay.
    """

    outputs: dict[str, Any]

    def __init__(self, name: str, settings: ClusterSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        try:  # before anything is declared
            store = store_of(settings.releases, vendor_of(settings.vendor))
            image = _image(settings, store.read(settings.product, settings.version))
        except (ReleaseError, SettingsError) as error:
            stop(str(error))
        super().__init__("stele:cluster:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        wanted = {
            key: Wanted(
                cluster=name,
                name=key,
                # A machine that is there stays while its image does; an engine of this machine goes by the version.
                generation=fingerprint(["image", image, host.address] if image else ["version", settings.version]),
                role=host.role,
                subnet=settings.subnet,
                window=settings.window,
                address=host.address,
                image=image,
                peers=_peers(settings, host.role),
            )
            for key, host in settings.hosts.items()
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
                key: {"address": host.address, "engine": host.engine, "role": settings.hosts[key].role.value}
                for key, host in hosts.items()
            },
            "engine": hosts[first].engine,
        }
        self.register_outputs(self.outputs)


def _peers(settings: ClusterSettings, role: Role) -> tuple[str, ...]:
    """Who may know the cluster: the managers; a manager asks all, since the first in a Swarm is who found nobody."""
    hosts = (each for each in settings.hosts.values() if Role.MANAGER in (role, each.role))
    return tuple(each.address for each in hosts if each.address)


def _image(settings: ClusterSettings, release: Manifest) -> str:
    """The IMAGE_VERSION of the release's host image; empty for engines of this machine. Raises SettingsError."""
    if not any(host.address for host in settings.hosts.values()):
        return ""
    if release.host is None:
        allowed = "a release with a host image (pulumi config set host true -s release)"
        raise SettingsError("version", settings.version, allowed)
    return release.host.folder.rpartition("/")[2]
