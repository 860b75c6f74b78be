"""A customer's or the vendor's WORM storage, as a stack that uses it sees it: by the name of its storage stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.settings import SettingsError
from components.storage_settings import Backend

PLACE = ("endpoint", "bucket")
# What opens an account, by its backend: keys of its own, or a managed identity.
ACCESS = {Backend.S3: ("access_key", "secret_key"), Backend.AZURE: ("client_id",)}


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where an account is, and what may add and read there: keys, or ``client_id`` of a managed identity in Azure.
    ``retention`` in days."""

    backend: Backend = Backend.S3
    endpoint: str
    bucket: str
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    client_id: str = ""
    retention: int
    locked: bool

    @property
    def credential(self) -> str:
        """What its user is given as a secret."""
        return self.secret_key or self.client_id


def account_of(key: str, stack: str) -> Account:
    """The account that storage stack ``stack`` declares; ``key`` is the setting that names it. Raises SettingsError.

    Its outputs are read at once, by the call behind StackReference: what is wrong with them is said before anything is
    declared, and names of content can be made of them.
    """
    mend = f"a storage stack that is up: pulumi up -s {stack}"
    return account_from(key, stack, outputs_of(key, stack, mend), mend)


def vendor_of(stack: str | None) -> Account | None:
    """The account that setting ``vendor`` names; None without one. Raises SettingsError.

    Of a stack that declares a vendor's account beside a customer's, the vendor's.
    """
    if stack is None:
        return None
    mend = f"a storage stack that is up: pulumi up -s {stack}"
    outputs = outputs_of("vendor", stack, mend)
    return account_from("vendor", stack, outputs.get("vendor") or outputs, mend)


def outputs_of(key: str, stack: str, mend: str) -> Mapping[str, Any]:
    """The outputs of another stack, read at once; ``key`` is the setting that names it. Raises SettingsError."""
    own = f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
    try:
        answer: Any = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": own}).value
    except Exception as error:  # the SDK raises nothing more precise
        if "unknown stack" in str(error) or "not found" in str(error):
            raise SettingsError(key, stack, f"{mend} (there is no stack of that name)") from None
        raise
    return (answer or {}).get("outputs") or {}


def account_from(key: str, stack: str, outputs: Mapping[str, Any], mend: str) -> Account:
    """The account in a storage stack's outputs. Raises SettingsError."""
    backend = Backend(outputs.get("backend", Backend.S3))
    names = PLACE + ACCESS[backend]
    missing = [name for name in names if not outputs.get(name)]
    if missing:
        raise SettingsError(key, stack, f"{mend} (it has no output {missing[0]})")
    return Account(
        backend=backend,
        **{name: str(outputs[name]) for name in names},
        retention=int(outputs.get("retention", 0)),
        locked=bool(outputs.get("locked")),
    )
