"""The typed, validated stack configuration: read once, before any resource is declared.

A stack is the factory (``stele:kind: release``), one environment (the default), one customer's WORM storage
(``stele:kind: storage``; its keys are in ``storage_settings.py``) or the hosts that environments run on (``stele:kind:
cluster``, ``cluster_settings.py``). Every key, its meaning and what it allows is listed
in :data:`KEYS`; anything else is an error of one line that names the key, the value and what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from components.cluster_settings import ClusterSettings
    from components.storage_settings import StorageSettings

VERSION = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")
NAME = re.compile(r"[a-z][a-z0-9-]{0,38}")
DNS_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
REGISTRY = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?(/[a-z0-9._-]+)*")
BACKUP = re.compile(rf"newest|vanilla|({NAME.pattern}/)?(newest|\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\dZ)")
FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+")
ZONES = Path("/usr/share/zoneinfo")
SECRET = re.compile(r"[\x21-\x7e]{8,128}")


class Kind(StrEnum):
    """What a stack declares: one release (the factory), one environment, one customer's WORM storage, or the hosts."""

    RELEASE = "release"
    ENVIRONMENT = "environment"
    STORAGE = "storage"
    CLUSTER = "cluster"


class Size(StrEnum):
    """How much memory, processor and how many replicas a runtime gets; the figures are in its recipe."""

    S = "S"
    M = "M"
    L = "L"


class Exposure(StrEnum):
    """Who reaches the front door: this machine only, or every network the host is on."""

    LOOPBACK = "loopback"
    ALL = "all"


class SettingsError(ValueError):
    """A configuration value that is not allowed; its text is one line for the person who set it."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        shown = value if isinstance(value, str) else json.dumps(value)
        super().__init__(f"stele:{key}: {shown!r} is not allowed; allowed: {allowed}")


@dataclass(frozen=True, kw_only=True)
class ReleaseSettings:
    """The factory's settings: which version to publish, of which product, under which name."""

    version: str
    name: str
    product: str
    registry: str
    releases: str
    vendor: str | None = None  # the storage stack whose account has the releases; None: the folder `releases` alone
    host: bool = False  # the release has a host image too


@dataclass(frozen=True, kw_only=True)
class EnvironmentSettings:
    """One environment's settings: which release to deploy and what must differ between environments."""

    version: str
    runtimes: tuple[str, ...] | None  # None: every runtime of the release
    sizing: Mapping[str, Size]  # by runtime name; the key "default" is always there
    dns: tuple[str, ...]
    port: int
    exposure: Exposure
    window: int | None  # seconds a new generation has to become healthy; None: the recipe's own
    registry: str
    releases: str
    product: str
    cluster: str | None = None  # the cluster stack whose hosts it runs on; None: the one engine at DOCKER_HOST
    state: str | None = None  # the folder, the same one on every host of the cluster, that holds the volumes
    storage: str | None = None  # the storage stack of the account where backups go; None: there are none
    restore: str = "newest"  # what is loaded into volumes that are empty: newest, vanilla, or [stack/]name of a backup
    timezone: str = "UTC"
    fenced: bool = False  # nothing is accepted any more: the stack is being moved
    vendor: str | None = None  # the storage stack whose account has the releases; None: the folder `releases` alone
    secrets: Mapping[str, str] = field(repr=False)  # plain text: wrapped in Output.secret at the boundary
    swarm: str | None = None  # no setting: the ID of the Swarm at DOCKER_HOST, where it says one

    def size_of(self, runtime: str) -> Size:
        """The size of one runtime: its own entry, otherwise the default."""
        return self.sizing.get(runtime, self.sizing["default"])

    def to_record(self) -> dict[str, Any]:
        """Those that a stack file could have, without secrets and this machine's own: they are set again elsewhere."""
        return {key: value for key, value in vars(self).items() if key in ENVIRONMENT_KEYS and key != "releases"}


def _match(pattern: re.Pattern[str], allowed: str) -> Callable[[str, str], str]:
    def parse(key: str, value: str) -> str:
        if not pattern.fullmatch(value):
            raise SettingsError(key, value, allowed)
        return value

    return parse


def _secret(key: str, value: str) -> str:
    # The value itself must not reach a terminal or a CI log, so the error shows its length only.
    if not SECRET.fullmatch(value):
        raise SettingsError(key, f"({len(value)} characters)", "8 to 128 printable ASCII characters without spaces")
    return value


def _integer(low: int, high: int) -> Callable[[str, str], int]:
    def parse(key: str, value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,6}", value) or not low <= int(value) <= high:
            raise SettingsError(key, value, f"a whole number from {low} to {high}")
        return int(value)

    return parse


# Host ports that generations of the front door take, never the public one. Below Linux's ephemeral ports, so nothing is
# there by accident; a thousand, so that two generations hardly ever meet.
GENERATION_PORTS = range(29000, 30000)


def _port(key: str, value: str) -> int:
    port = _integer(1, 65535)(key, value)
    if port in GENERATION_PORTS:
        taken = f"{GENERATION_PORTS.start} to {GENERATION_PORTS.stop - 1}"
        raise SettingsError(key, value, f"1 to 65535 except {taken}, which generations of the edge use")
    return port


def _member(kind: type[StrEnum]) -> Callable[[str, str], Any]:
    def parse(key: str, value: str) -> StrEnum:
        try:
            return kind(value)
        except ValueError:
            raise SettingsError(key, value, " | ".join(kind)) from None

    return parse


def _json(key: str, value: str, allowed: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise SettingsError(key, value, allowed) from None


def _list_of(pattern: re.Pattern[str], allowed: str) -> Callable[[str, str], tuple[str, ...]]:
    def parse(key: str, value: str) -> tuple[str, ...]:
        items = _json(key, value, allowed)
        if not isinstance(items, list) or not items:
            raise SettingsError(key, items, allowed)
        if not all(isinstance(item, str) and pattern.fullmatch(item) for item in items) or len(set(items)) != len(
            items
        ):
            raise SettingsError(key, items, allowed)
        return tuple(items)

    return parse


def _sizing(key: str, value: str) -> dict[str, Size]:
    if value in set(Size):
        return {"default": Size(value)}
    allowed = "S | M | L, or a size for each runtime, e.g. {default: S, ledger: M}"
    sizes = _json(key, value, allowed)
    if not isinstance(sizes, dict) or not all(isinstance(s, str) and s in set(Size) for s in sizes.values()):
        raise SettingsError(key, sizes, allowed)
    return {"default": Size.S} | {name: Size(size) for name, size in sizes.items()}


def _switch(key: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise SettingsError(key, value, "true | false")
    return value == "true"


_names = _list_of(NAME, "a list of runtime names, each once, e.g. [intake, ledger]")
_dns = _list_of(DNS_NAME, "a list of DNS names in lower case, each once, e.g. [orders.example.com]")
_version = _match(VERSION, "MAJOR.MINOR.PATCH, e.g. 1.0.0")
_name = _match(NAME, "lower-case letters, digits and hyphens, starting with a letter, at most 39")
_registry = _match(REGISTRY, "HOST[:PORT][/PATH] of a container registry")
_store = _match(re.compile(r"\S{1,512}"), "the folder that holds the published releases")


def _timezone(key: str, value: str) -> str:
    allowed = "a time zone of the IANA database, e.g. Europe/Amsterdam"
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", value):
        raise SettingsError(key, value, allowed)
    try:
        ZoneInfo(value)
    except ZoneInfoNotFoundError:
        if ZONES.is_dir():  # a host without the database cannot tell; the task runner has one
            raise SettingsError(key, value, allowed) from None
    return value


_COMMON: dict[str, Callable[[str, str], Any]] = {
    "version": _version,
    "product": _name,
    "registry": _registry,
    "releases": _store,
    "vendor": _match(NAME, "the name of a storage stack, e.g. vendor-storage"),
}
RELEASE_KEYS: dict[str, Callable[[str, str], Any]] = _COMMON | {"name": _name, "host": _switch}
ENVIRONMENT_KEYS: dict[str, Callable[[str, str], Any]] = _COMMON | {
    "runtimes": _names,
    "sizing": _sizing,
    "dns": _dns,
    "port": _port,
    "exposure": _member(Exposure),
    "window": _integer(5, 3600),
    "cluster": _match(NAME, "the name of a cluster stack, e.g. cluster"),
    "state": _match(FOLDER, "the absolute path of a folder that every host of the cluster has, e.g. /srv/stele"),
    "storage": _match(NAME, "the name of a storage stack"),
    "restore": _match(BACKUP, "newest, vanilla, or a backup [of another stack]: [STACK/]2026-11-25T02-00-00Z"),
    "timezone": _timezone,
    "fenced": _switch,
}
KEYS = {Kind.RELEASE: RELEASE_KEYS, Kind.ENVIRONMENT: ENVIRONMENT_KEYS}  # of the others: in their modules
# Which secrets an environment needs is the release's affair: runtimes name them (`secrets:` in runtime.yaml).
SECRET_KEY = re.compile(r"[a-z][a-z0-9-]{0,30}-(password|secret|token|key)")


def parse(
    raw: Mapping[str, str], *, defaults: Mapping[str, str], secret_keys: frozenset[str] | None = None
) -> ReleaseSettings | EnvironmentSettings | StorageSettings | ClusterSettings:
    """Validate one stack's configuration.

    ``raw`` maps keys without the ``stele:`` prefix to the text Pulumi hands over (lists and objects as JSON).
    ``defaults`` gives ``registry``, ``releases`` and ``endpoint`` where the stack says nothing. ``secret_keys`` names
    the keys that are encrypted in the stack's file; a password outside it is refused. Raises :class:`SettingsError`.
    """
    kind: Kind = _member(Kind)("kind", raw.get("kind", Kind.ENVIRONMENT.value))
    if kind is Kind.STORAGE:
        from components import storage_settings  # it takes its parsers from here

        return storage_settings.parse(raw, defaults=defaults)
    if kind is Kind.CLUSTER:
        from components import cluster_settings  # so does it

        return cluster_settings.parse(raw, defaults=defaults)
    keys = KEYS[kind]
    takes_secrets = kind is Kind.ENVIRONMENT
    for key in sorted(raw):
        if key != "kind" and key not in keys and not (takes_secrets and SECRET_KEY.fullmatch(key)):
            allowed = ", ".join(sorted(["kind", *keys])) + (", and secrets (...-password)" if takes_secrets else "")
            raise SettingsError(key, "(unknown key)", allowed)
    given = {"product": "orders", "name": "unnamed"} | dict(defaults) | dict(raw)
    values = {key: keys[key](key, given[key]) for key in sorted(keys) if key in given}
    if "version" not in given:
        raise SettingsError("version", "(not set)", "MAJOR.MINOR.PATCH; pulumi config set version 1.0.0")
    if kind is Kind.RELEASE:
        return ReleaseSettings(**values)
    secrets = {key: _secret(key, text) for key, text in raw.items() if key != "kind" and key not in keys}
    return _environment(values, secrets, secret_keys)


def _environment(
    values: dict[str, Any], secrets: Mapping[str, str], secret_keys: frozenset[str] | None
) -> EnvironmentSettings:
    for name in secrets:
        if secret_keys is not None and name not in secret_keys:
            raise SettingsError(name, "(in plain text)", f"encrypted only; pulumi config set --secret {name} VALUE")
    optional: dict[str, Any] = {
        "runtimes": None,
        "sizing": {"default": Size.S},
        "dns": ("localhost",),
        "port": 8080,
        # Callers of a cluster are on other machines.
        "exposure": Exposure.ALL if values.get("cluster") else Exposure.LOOPBACK,
        "window": None,
    }
    if values.get("state") and not values.get("cluster"):
        raise SettingsError("state", values["state"], "nothing without cluster; pulumi config rm state")
    return EnvironmentSettings(**(optional | values), secrets=secrets)
