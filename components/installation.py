"""A release that runs at a customer is in that customer's account too, and so is what the stack consists of."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_command as command

from components.account_place import place_of
from components.boundary import CHECKOUT
from components.manifest import Manifest, canonical
from components.release_commands import CUSTOMER, KEY, PENDING, VENDOR
from components.storage_reference import Account


@dataclass(frozen=True, kw_only=True)
class InstallationArgs:
    """``account`` is the customer's. ``settings``: the stack's, without secrets, in plain form. ``folder`` has the
    releases, or caches those of ``vendor``."""

    account: Account
    manifest: Manifest
    settings: Mapping[str, Any]
    vendor: Account | None
    folder: str
    key: str = field(default="", repr=False)  # the stack's `backup-key`, which signs the record
    before: str = ""  # what the last `up` put out


class Installation(pulumi.ComponentResource):
    """The copy of a release in a customer's account, and the stack's record there.

    Whatever loads the vanilla backup depends on it. Output ``incarnation``: the record's key; of a change that was made
    while the store was down: since when it is pending.
    """

    incarnation: pulumi.Output[str]
    resource: command.local.Command

    def __init__(self, name: str, args: InstallationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:release:Installation", name, None, opts)
        wanted = {
            "stack": pulumi.get_stack(),
            "product": args.manifest.product,
            "version": args.manifest.version,
            "manifest": args.manifest.digest,
            "settings": dict(args.settings),
        }
        if args.before.startswith(PENDING):
            wanted["again"] = args.before
        install = f"python3 -m components.release_store install {shlex.quote(args.folder)}"
        installed = command.local.Command(
            f"{name}-copy",
            create=install,
            update=install,
            delete="true",  # what was stored stays
            stdin=canonical(wanted).decode(),
            environment=accounts({CUSTOMER: args.account, VENDOR: args.vendor})
            | ({KEY: pulumi.Output.secret(args.key)} if args.key else {}),
            dir=str(CHECKOUT),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.resource = installed
        self.incarnation = installed.stdout.apply(str.strip)
        self.register_outputs({"incarnation": self.incarnation})


def accounts(given: Mapping[str, Account | None]) -> dict[str, pulumi.Output[str]]:
    """Accounts as the environment of a command that writes to them: secrets, so that no plan or state shows them."""
    return {
        name: pulumi.Output.secret(place_of(account).to_json())
        for name, account in given.items()
        if account is not None
    }
