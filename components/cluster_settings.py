"""The settings of a cluster stack (``stele:kind: cluster``): which hosts there are, and which image they run."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from components.settings import _COMMON, SettingsError, _integer, _json
from hosts.wanted import Role

HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")
MOST_MANAGERS = 7
_HOSTS = "a role for each host, e.g. {a: manager, b: worker}"


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """A cluster's hosts by name, the release that they run, and ``window`` seconds for each step of a roll. ``subnet``
    is where they have their addresses."""

    version: str
    product: str
    releases: str
    registry: str
    hosts: Mapping[str, Role]
    window: int
    subnet: str
    vendor: str | None = None


def _hosts(key: str, value: str) -> dict[str, Role]:
    plain = _json(key, value, _HOSTS)
    if not isinstance(plain, dict) or not plain:
        raise SettingsError(key, plain, _HOSTS)
    for name, role in plain.items():
        if not HOST_NAME.fullmatch(name):
            allowed = "names of lower-case letters, digits and hyphens, starting with a letter, at most 12"
            raise SettingsError(f"{key}.{name}", name, allowed)
        if not isinstance(role, str) or role not in set(Role):
            raise SettingsError(f"{key}.{name}", role, " | ".join(Role))
    hosts = {name: Role(role) for name, role in plain.items()}
    managers = list(hosts.values()).count(Role.MANAGER)
    if managers not in range(1, MOST_MANAGERS + 1, 2):
        allowed = f"1, 3, 5 or {MOST_MANAGERS} managers: most of them must be there for any change"
        raise SettingsError(key, f"{managers} managers", allowed)
    # Managers first: whatever joins needs one.
    return dict(sorted(hosts.items(), key=lambda item: (item[1] is not Role.MANAGER, item[0])))


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
