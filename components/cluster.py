"""The hosts that environments run on: a Swarm that is patched, enlarged and reduced one host at a time."""

from __future__ import annotations

from typing import Any

import pulumi

from components.boundary import stop
from components.cluster_settings import ClusterSettings, HostSettings
from components.host import Host, HostArgs
from components.manifest import Manifest, fingerprint
from components.release_store import ReleaseError, store_of
from components.settings import SettingsError
from components.storage_reference import vendor_of
from hosts.wanted import Role, Wanted


class Cluster(pulumi.ComponentResource):
    """The hosts of one cluster, as a stack of its own: environments come and go without touching them.

    ``outputs``: ``hosts`` (name -> ``address``, ``engine``, ``role``), ``engine``: the first manager's DOCKER_HOST, and
    ``version``. With another ``version`` whose host image differs, every host is replaced, one after the other; a host
    that fails stops it, and those before it stay.
    """

    outputs: dict[str, Any]

    def __init__(self, name: str, settings: ClusterSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        try:  # before anything is declared
            vendor = vendor_of(settings.vendor)
            manifest = store_of(settings.releases, vendor).read(settings.product, settings.version)
            images = {key: _image(settings, manifest, host) for key, host in settings.hosts.items()}
        except (ReleaseError, SettingsError) as error:
            stop(str(error))
        super().__init__("stele:cluster:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        managers = tuple(host.address for host in settings.hosts.values() if host.address and host.role is Role.MANAGER)
        hosts: dict[str, Host] = {}
        for key, host in settings.hosts.items():
            wanted = Wanted(
                cluster=name,
                name=key,
                generation=fingerprint([images[key], host.address]),
                role=host.role,
                address=host.address or "",
                subnet=settings.subnet,
                image=manifest.host.version if manifest.host and host.address else "",
                managers=managers,
                window=settings.window,
            )
            before = [each.resource for each in hosts.values()][-1:]
            hosts[key] = Host(key, HostArgs(wanted=wanted, after=before), child)
        self.outputs = {
            "version": settings.version,
            "hosts": {
                key: {"address": host.address, "engine": host.engine, "role": settings.hosts[key].role.value}
                for key, host in hosts.items()
            },
            "engine": next(iter(hosts.values())).engine,
        }
        self.register_outputs(self.outputs)


def _image(settings: ClusterSettings, manifest: Manifest, host: HostSettings) -> str:
    """What makes a host another one. An engine on this machine has no image: there it is the version."""
    if host.address is None:
        return f"version {settings.version}"
    if manifest.host is None:
        allowed = "one with a host image, for hosts with an address; pulumi config set host true -s <its release stack>"
        raise SettingsError("version", settings.version, allowed)
    return manifest.host.disk
