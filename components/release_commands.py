"""What `pulumi up` runs beside the engine's program: publish a release, copy it to a customer, record a stack.

Accounts come in by the environment, as JSON with the outputs of a storage stack: who lists processes sees no keys.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any

from components.account_place import AccountPlace, place_of
from components.incarnation import incarnation_of, record
from components.manifest import Manifest, manifest_of
from components.places import ReleaseError
from components.recipe import RecipeError
from components.release_store import ReleaseStore, store_of

PENDING = "pending since "
VENDOR, CUSTOMER, KEY = "STELE_VENDOR_ACCOUNT", "STELE_CUSTOMER_ACCOUNT", "STELE_BACKUP_KEY"
USAGE = f"""\
usage: python -m components.release_store publish FOLDER < content.json
       python -m components.release_store copy FOLDER PRODUCT VERSION
       python -m components.release_store install FOLDER < installation.json
FOLDER has the releases, or caches those of the account in {VENDOR}; copy and install write to the account in
{CUSTOMER}, and install signs with {KEY}, if that is set.
An account: what `pulumi stack output --json --show-secrets -s STORAGE-STACK` prints."""


def main(arguments: list[str]) -> int:
    """Run one command; its exit code. What is wrong is one line on standard error."""
    try:
        match arguments:
            case ["publish", folder]:
                print(_publish(folder, json.load(sys.stdin)))
            case ["copy", folder, product, version]:
                print(copy(store_of(folder, _account(VENDOR)), _customer(), product, version).digest)
            case ["install", folder]:
                print(_install(store_of(folder, _account(VENDOR)), _customer(), json.load(sys.stdin)))
            case _:
                print(USAGE, file=sys.stderr)
                return 2
    except (RecipeError, ReleaseError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def copy(source: ReleaseStore, customer: AccountPlace, product: str, version: str) -> Manifest:
    """Copy a release to a customer's account, under the same keys and rules. Raises ReleaseError."""
    document = source.document(product, version)
    manifest = manifest_of(document)
    archive = partial(source.archive, manifest)
    ReleaseStore(customer).publish(document["content"], document["provenance"], archive)
    return manifest


def _publish(folder: str, content: dict[str, Any]) -> str:
    """Publish a release with what its content names: archives, packed from this checkout, and the host image there."""
    from components.archive import pack  # imports the SDK, which takes longer than all the rest

    store = store_of(folder, _account(VENDOR))
    if "host" in content:
        from components.host_image import check

        check(folder, content["host"])
    return store.publish(content, provenance(), partial(pack, content["product"]))


def _install(source: ReleaseStore, customer: AccountPlace, wanted: dict[str, Any]) -> str:
    """Copy a stack's release and record the stack; the record's key."""
    manifest = source.read(wanted["product"], wanted["version"])
    if manifest.digest != wanted["manifest"]:
        raise ReleaseError(f"release {manifest.version} became another one ({manifest.digest}) meanwhile; pulumi up")
    try:
        copy(source, customer, manifest.product, manifest.version)
        return record(customer, incarnation_of(wanted["stack"], manifest, wanted["settings"]), _key())
    except ReleaseError as error:
        # A stack that runs must be able to go back on a day when the store is down. The next `up` tries again.
        if not os.environ.get("PULUMI_COMMAND_STDOUT"):
            raise
        print(f"warning: not recorded in the account: {error}", file=sys.stderr)
        return f"{PENDING}{datetime.now(UTC).isoformat(timespec='seconds')}"


def _account(name: str) -> AccountPlace | None:
    text = os.environ.get(name)
    if not text:
        return None
    try:
        return place_of(json.loads(text))
    except (KeyError, TypeError, ValueError):  # the value itself must not be shown
        raise ReleaseError(f"{name}: not an account; allowed: the outputs of a storage stack as JSON") from None


def _customer() -> AccountPlace:
    found = _account(CUSTOMER)
    if found is None:
        raise ReleaseError(f"{CUSTOMER}: not set; let it hold the outputs of the customer's storage stack as JSON")
    return found


def _key() -> str:
    """The stack's ``backup-key``."""
    return os.environ.get(KEY, "")


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def provenance() -> dict[str, Any]:
    """What is recorded beside the content: git commit, whether the tree differed from it, time of publication."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "published": datetime.now(UTC).isoformat(timespec="seconds"),
    }
