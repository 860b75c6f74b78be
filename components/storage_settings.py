"""The settings of a storage stack (``stele:kind: storage``): one customer's WORM storage, in one of two backends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from components.settings import SettingsError, _integer, _match, _member, _switch

CUSTOMER = re.compile(r"[a-z0-9][a-z0-9-]{1,50}[a-z0-9]")  # its bucket's name fits into 63
LONGEST_RETENTION = 36_500  # days
# restic removes its own lock files, whose names are 64 hexadecimal digits.
LOCK_FILES = f"backups/*/locks/{'?' * 64}"
LONGEST_ACCOUNT = 24  # characters of an Azure storage account's name, lower-case letters and digits


class Backend(StrEnum):
    """Where the storage is: in an S3 store with object lock, or in an Azure storage account."""

    S3 = "s3"
    AZURE = "azure"


class Redundancy(StrEnum):
    """Copies in one region, or in a second one as well."""

    LOCAL = "local"
    GEO = "geo"


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """One customer's WORM storage: how many days what is stored stays, and whether nobody may shorten that any more."""

    customer: str
    retention: int
    lock: bool


@dataclass(frozen=True, kw_only=True)
class ObjectLockSettings(StorageSettings):
    """An account in the S3 store at ``endpoint``."""

    endpoint: str


@dataclass(frozen=True, kw_only=True)
class AzureSettings(StorageSettings):
    """A storage account in an Azure region; with ``vendor``, that one's account of releases beside it."""

    location: str
    redundancy: Redundancy
    vendor: str | None


Parsers = dict[str, Callable[[str, str], Any]]
_name = _match(CUSTOMER, "3 to 52 lower-case letters, digits and hyphens, none at an end")
_COMMON: Parsers = {
    "backend": _member(Backend),
    "customer": _name,
    "retention": _integer(1, LONGEST_RETENTION),
    "lock": _switch,
}
BACKEND_KEYS: dict[Backend, Parsers] = {
    Backend.S3: {
        "endpoint": _match(re.compile(r"https?://[^\s/]+/?"), "the address of an S3 store, e.g. https://s3.example.com")
    },
    Backend.AZURE: {
        "location": _match(re.compile(r"[a-z][a-z0-9]{2,39}"), "an Azure region, e.g. westeurope"),
        "redundancy": _member(Redundancy),
        "vendor": _name,
    },
}
STORAGE_KEYS: Parsers = _COMMON | BACKEND_KEYS[Backend.S3] | BACKEND_KEYS[Backend.AZURE]
_DEFAULTS = {"backend": Backend.S3.value, "retention": "180", "lock": "false", "redundancy": Redundancy.LOCAL.value}


def parse(raw: Mapping[str, str], *, defaults: Mapping[str, str]) -> StorageSettings:
    """Validate a storage stack's configuration, as :func:`components.settings.parse` does. Raises SettingsError."""
    for key in sorted(raw):
        if key != "kind" and key not in STORAGE_KEYS:
            raise SettingsError(key, "(unknown key)", ", ".join(sorted(["kind", *STORAGE_KEYS])))
    backend: Backend = STORAGE_KEYS["backend"]("backend", raw.get("backend", Backend.S3.value))
    keys = _COMMON | BACKEND_KEYS[backend]
    for key in sorted(raw):
        if key != "kind" and key not in keys:
            other = next(name for name in Backend if key in BACKEND_KEYS[name])
            raise SettingsError(key, raw[key], f"nothing with backend {backend}, only with {other}; remove it")
    given = _DEFAULTS | dict(defaults) | dict(raw)
    values = {key: keys[key](key, given[key]) for key in sorted(keys) if key in given}
    if "customer" not in values:
        raise SettingsError("customer", "(not set)", "whose storage it is; pulumi config set customer acme")
    del values["backend"]
    return _azure(values) if backend is Backend.AZURE else _s3(values)


def _s3(values: dict[str, Any]) -> ObjectLockSettings:
    if "endpoint" not in values:
        raise SettingsError(
            "endpoint", "(not set)", 'the address of an S3 store; eval "$(make -s env)" names the local one'
        )
    return ObjectLockSettings(**values)


def _azure(values: dict[str, Any]) -> AzureSettings:
    if "location" not in values:
        raise SettingsError("location", "(not set)", "an Azure region; pulumi config set location westeurope")
    settings = AzureSettings(**{"vendor": None} | values)
    own = storage_account("customer", settings.customer)
    if settings.vendor is not None and storage_account("vendor", settings.vendor) == own:
        raise SettingsError("vendor", settings.vendor, f"another name: the customer's storage account is {own} already")
    return settings


def storage_account(key: str, owner: str) -> str:
    """The name of an owner's Azure storage account: without hyphens. ``key`` is the setting. Raises SettingsError."""
    name = "stele" + owner.replace("-", "")
    if len(name) > LONGEST_ACCOUNT:
        most = LONGEST_ACCOUNT - len("stele")
        raise SettingsError(
            key, owner, f"at most {most} letters and digits with backend azure: its storage account is {name!r}"
        )
    return name
