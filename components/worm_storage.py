"""One customer's WORM storage: what is written there is neither changed nor deleted before its time.

A stack of its own (``stele:kind: storage``), so that no environment's ``destroy`` ever tries to delete it.
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.storage_settings import AzureSettings, ObjectLockSettings, StorageSettings


class WormStorage(pulumi.ComponentResource):
    """A customer's account, in the backend that the settings name.

    ``outputs``: ``endpoint``, ``bucket`` (with Azure: the container), ``retention`` (days), ``locked``, and what may
    add and read only: keys (``access_key`` and ``secret_key``, a secret) or, with Azure, the ``client_id`` of a
    managed identity. With Azure and a vendor, ``vendor`` has the same of the account of releases.
    """

    outputs: dict[str, Any]

    def __init__(self, name: str, settings: StorageSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:storage:WormStorage", name, None, opts)
        # Each backend is imported where it is used: neither needs the other's libraries.
        if isinstance(settings, AzureSettings):
            from components.azure_accounts import declare_azure

            self.outputs = declare_azure(name, settings, self)
        elif isinstance(settings, ObjectLockSettings):
            self.outputs = self._object_lock(name, settings)
        else:
            raise TypeError(f"no backend has settings of type {type(settings).__name__}")
        self.register_outputs(self.outputs)

    def _object_lock(self, name: str, settings: ObjectLockSettings) -> dict[str, Any]:
        from components.object_lock_account import ObjectLockAccount

        account = ObjectLockAccount(
            name,
            {
                "endpoint": settings.endpoint.rstrip("/"),
                "customer": settings.customer,
                "retention": settings.retention,
                "locked": settings.lock,
            },
            pulumi.ResourceOptions(parent=self),
        )
        return {
            "endpoint": account.endpoint,
            "bucket": account.bucket,
            "retention": account.retention,
            "locked": account.locked,
            "access_key": account.access_key,
            "secret_key": account.secret_key,
        }


def __getattr__(name: str) -> Any:
    """The dynamic provider, for states that name it here: from before it had a file of its own."""
    if name == "_Accounts":
        from components import object_lock_account

        return object_lock_account.Accounts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
