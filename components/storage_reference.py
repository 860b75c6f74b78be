"""A customer's or the vendor's WORM storage, as a stack that uses it sees it: by the name of its storage stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.settings import SettingsError

OUTPUTS = ("endpoint", "bucket", "access_key", "secret_key")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where an account is, and the keys that may add and read there. ``retention`` in days."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    retention: int
    locked: bool


def account_of(key: str, stack: str) -> Account:
    """The account that storage stack ``stack`` declares; ``key`` is the setting that names it. Raises SettingsError.

    Its outputs are read at once, by the call behind StackReference: what is wrong with them is said before anything is
    declared, and names of content can be made of them.
    """
    own = f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
    mend = f"a storage stack that is up: pulumi up -s {stack}"
    try:
        answer: Any = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": own}).value
    except Exception as error:  # the SDK raises nothing more precise
        if "unknown stack" in str(error) or "not found" in str(error):
            raise SettingsError(key, stack, f"{mend} (there is no stack of that name)") from None
        raise
    return account_from(key, stack, (answer or {}).get("outputs") or {}, mend)


def vendor_of(stack: str | None) -> Account | None:
    """The account that setting ``vendor`` names; None without one. Raises SettingsError."""
    return None if stack is None else account_of("vendor", stack)


def account_from(key: str, stack: str, outputs: Mapping[str, Any], mend: str) -> Account:
    """The account in a storage stack's outputs. Raises SettingsError."""
    missing = [name for name in OUTPUTS if not outputs.get(name)]
    if missing:
        raise SettingsError(key, stack, f"{mend} (it has no output {missing[0]})")
    return Account(
        **{name: str(outputs[name]) for name in OUTPUTS},
        retention=int(outputs.get("retention", 0)),
        locked=bool(outputs.get("locked")),
    )
