"""The settings of a cluster stack (``stele:kind: cluster``): which hosts there are, and which image they run."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from components.settings import CLUSTER_COMMON, SettingsError, _integer, _json
from hosts.wanted import Role

HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")
ADDRESS = re.compile(r"([a-z_][a-z0-9_-]{0,31}@)?[a-zA-Z0-9][a-zA-Z0-9.-]{0,252}")
MOST_MANAGERS = 7
_HOSTS = "a role for each host, e.g. {a: manager, b: worker}, or {a: {role: manager, address: root@10.0.0.11}}"


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """One host: ``address`` is ``USER@HOST`` of a machine that runs the host image, reached over SSH; None for an
    engine on this machine."""

    role: Role
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """A cluster's hosts by name, the release whose host image they run, and ``window`` seconds for each step of a roll.
    ``subnet`` is where hosts on this machine have their addresses."""

    version: str
    product: str
    releases: str
    registry: str
    hosts: Mapping[str, HostSettings]
    window: int
    subnet: str
    vendor: str | None = None


def _hosts(key: str, value: str) -> dict[str, HostSettings]:
    plain = _json(key, value, _HOSTS)
    if not isinstance(plain, dict) or not plain:
        raise SettingsError(key, plain, _HOSTS)
    hosts = {}
    for name, given in plain.items():
        if not HOST_NAME.fullmatch(name):
            allowed = "names of lower-case letters, digits and hyphens, starting with a letter, at most 12"
            raise SettingsError(f"{key}.{name}", name, allowed)
        hosts[name] = _host(f"{key}.{name}", {"role": given} if isinstance(given, str) else given)
    addresses = [host.address for host in hosts.values() if host.address is not None]
    for address in addresses:
        if addresses.count(address) > 1:
            raise SettingsError(key, address, "each address once")
    managers = sum(1 for host in hosts.values() if host.role is Role.MANAGER)
    if managers not in range(1, MOST_MANAGERS + 1, 2):
        raise SettingsError(
            key,
            f"{managers} managers",
            f"1, 3, 5 or {MOST_MANAGERS} managers: most of them must be there for any change",
        )
    # Managers first: whatever joins needs one.
    return dict(sorted(hosts.items(), key=lambda item: (item[1].role is not Role.MANAGER, item[0])))


def _host(key: str, given: object) -> HostSettings:
    if not isinstance(given, dict) or not set(given) <= {"role", "address"}:
        raise SettingsError(key, given, _HOSTS)
    if given.get("role") not in set(Role):
        raise SettingsError(f"{key}.role", given.get("role", "(not set)"), " | ".join(Role))
    address = given.get("address")
    if address is not None and not (isinstance(address, str) and ADDRESS.fullmatch(address)):
        raise SettingsError(f"{key}.address", address, "USER@HOST, e.g. root@10.0.0.11")
    return HostSettings(role=Role(given["role"]), address=address)


def _subnet(key: str, value: str) -> str:
    allowed = "a private IPv4 network of at least 16 addresses, e.g. 10.83.0.0/24"
    try:
        net = ipaddress.IPv4Network(value)
    except ValueError:
        raise SettingsError(key, value, allowed) from None
    if not net.is_private or net.num_addresses < 16:
        raise SettingsError(key, value, allowed)
    return str(net)


Parsers = dict[str, Callable[[str, str], Any]]
CLUSTER_KEYS: Parsers = CLUSTER_COMMON | {
    "hosts": _hosts,
    "window": _integer(5, 3600),
    "subnet": _subnet,
}
_DEFAULTS = {"product": "orders", "window": "300", "subnet": "10.83.0.0/24"}


def parse(raw: Mapping[str, str], *, defaults: Mapping[str, str]) -> ClusterSettings:
    """Validate a cluster stack's configuration, as :func:`components.settings.parse` does. Raises SettingsError."""
    for key in sorted(raw):
        if key != "kind" and key not in CLUSTER_KEYS:
            raise SettingsError(key, "(unknown key)", ", ".join(sorted(["kind", *CLUSTER_KEYS])))
    given = _DEFAULTS | dict(defaults) | dict(raw)
    for key, mend in (
        ("version", "MAJOR.MINOR.PATCH; pulumi config set version 1.0.0"),
        ("hosts", f"{_HOSTS}; pulumi config set --path hosts.a manager"),
    ):
        if key not in given:
            raise SettingsError(key, "(not set)", mend)
    return ClusterSettings(**{key: CLUSTER_KEYS[key](key, given[key]) for key in sorted(CLUSTER_KEYS) if key in given})
