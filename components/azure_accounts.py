"""The Azure accounts of a storage stack, and what of their lock can be done now: Azure makes none that is locked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.azure_account import AzureAccount, AzureAccountArgs
from components.boundary import stop
from components.change import recorded_now
from components.settings import SettingsError
from components.storage_settings import AzureSettings, storage_account


def declare_azure(name: str, settings: AzureSettings, parent: pulumi.Resource) -> dict[str, Any]:
    """Declare the customer's account, and the vendor's if there is one; their outputs."""
    before = recorded_now(pulumi.get_stack())
    try:
        outputs = _declare(name, settings.customer, settings, before, parent)
        if settings.vendor is not None:
            vendors = before.get("vendor") or {}
            outputs["vendor"] = _declare(f"{name}-vendor", settings.vendor, settings, vendors, parent)
    except SettingsError as error:
        stop(str(error))
    return outputs


def _declare(
    name: str, owner: str, settings: AzureSettings, before: Mapping[str, Any], parent: pulumi.Resource
) -> dict[str, Any]:
    args = AzureAccountArgs(
        owner=owner,
        account_name=storage_account("customer", owner),
        location=settings.location,
        redundancy=settings.redundancy,
        retention=settings.retention,
        locked=_locked(owner, settings, before),
        keep=settings.lock,
    )
    return AzureAccount(name, args, pulumi.ResourceOptions(parent=parent)).outputs


def _locked(owner: str, settings: AzureSettings, before: Mapping[str, Any]) -> bool:
    """Whether this `up` locks the account; ``before``: its outputs when it was last deployed. Raises SettingsError."""
    there = before.get("bucket") == f"stele-{owner}"
    if there and before.get("locked"):
        if not settings.lock:
            raise SettingsError("lock", "false", "true; it is locked, which is irreversible")
        agreed = int(before["retention"])  # the engine sends numbers as floats
        if settings.retention < agreed:
            raise SettingsError("retention", settings.retention, f"{agreed} or more; it is locked")
        return True
    if settings.lock and not there:
        pulumi.log.warn(
            f"stele:lock: Azure locks only what is there: this `pulumi up` makes the account of {owner} unlocked, "
            "the next one locks it"
        )
    return settings.lock and there
