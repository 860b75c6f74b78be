"""The settings of a cluster stack (``stele:kind: cluster``): which hosts there are, and which image they run."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from components.settings import _COMMON, SettingsError, _integer, _json
from hosts.wanted import Role

ADDRESS = re.compile(r"[a-z_][a-z0-9_-]{0,31}@(?P<ip>[0-9.]+)")
HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")
MOST_MANAGERS = 7
_HOSTS = "a role for each host, e.g. {a: manager, b: worker}, or {a: {role: manager, address: root@10.0.0.5}}"


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """What a host is for; and ``USER@IP`` of the machine that it is, where that is reached over SSH."""

    role: Role
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """A cluster's hosts by name, the release that they run, and ``window`` seconds for each step of a roll. ``subnet``
    is where they have their addresses when they are engines of this machine."""

    version: str
    product: str
    releases: str
    registry: str
    hosts: Mapping[str, HostSettings]
    window: int
    subnet: str
    vendor: str | None = None


def _host(key: str, value: Any) -> HostSettings:
    plain = {"role": value} if isinstance(value, str) else value
    if not isinstance(plain, dict) or "role" not in plain or plain.keys() - {"role", "address"}:
        raise SettingsError(key, value, "manager | worker, or role and address")
    role, address = plain["role"], plain.get("address", "")
    if role not in list(Role):
        raise SettingsError(key, role, " | ".join(Role))
    if address != "" and not _is_address(address):
        raise SettingsError(f"{key}.address", address, "USER@IP, where SSH lets you in, e.g. root@10.0.0.5")
    return HostSettings(role=Role(role), address=address)


def _is_address(value: object) -> bool:
    found = ADDRESS.fullmatch(value) if isinstance(value, str) else None
    try:
        return found is not None and not ipaddress.IPv4Address(found["ip"]).is_loopback
    except ValueError:
        return False


def _hosts(key: str, value: str) -> dict[str, HostSettings]:
    plain = _json(key, value, _HOSTS)
    if not isinstance(plain, dict) or not plain:
        raise SettingsError(key, plain, _HOSTS)
    for name in plain:
        if not HOST_NAME.fullmatch(name):
            allowed = "names of lower-case letters, digits and hyphens, starting with a letter, at most 12"
            raise SettingsError(f"{key}.{name}", name, allowed)
    hosts = {name: _host(f"{key}.{name}", each) for name, each in plain.items()}
    machines = [each.address.rpartition("@")[2] for each in hosts.values()]
    for machine in machines:
        if machine and machines.count(machine) > 1:
            raise SettingsError(key, machine, "an address of its own for each host")
    if "" in machines and any(machines):
        raise SettingsError(key, plain, "an address for every host, or for none")
    managers = [each.role for each in hosts.values()].count(Role.MANAGER)
    if managers not in range(1, MOST_MANAGERS + 1, 2):
        allowed = f"1, 3, 5 or {MOST_MANAGERS} managers: most of them must be there for any change"
        raise SettingsError(key, f"{managers} managers", allowed)
    # Managers first: whatever joins needs one.
    return dict(sorted(hosts.items(), key=lambda item: (item[1].role is not Role.MANAGER, item[0])))


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
CLUSTER_KEYS: Parsers = _COMMON | {
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
