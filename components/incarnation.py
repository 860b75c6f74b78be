"""What one stack consisted of at one time, kept in its customer's account: any earlier incarnation can be restored.

Keys: ``stacks/<stack>/incarnations/<UTC>-<first 12 hex digits of its digest>.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from components.account_place import AccountPlace
from components.manifest import Manifest, canonical, digest_of
from components.places import ReleaseError
from components.signature import signature, signed, signing_key


def incarnation_of(stack: str, manifest: Manifest, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One incarnation in plain form, without the time of its record. ``settings`` are those that are no secrets."""
    vanilla = manifest.archives.get("vanilla")
    key = f"releases/{manifest.product}/{manifest.version}/vanilla.tar"
    return {
        "stack": stack,
        "product": manifest.product,
        "version": manifest.version,
        "manifest": manifest.digest,
        "vanilla": {"key": key, "digest": vanilla.digest, "size": vanilla.size} if vanilla else None,
        "settings": dict(settings),
    }


def record(account: AccountPlace, incarnation: Mapping[str, Any], passphrase: str) -> str:
    """Write an incarnation unless the newest is the same; its key either way. ``passphrase``: the stack's
    ``backup-key``, which signs it; empty without backups. Raises ReleaseError."""
    signing = signing_key(passphrase) if passphrase else b""
    newest = newest_of(account, incarnation["stack"])
    if newest is not None and _content(account.read(newest), signing) == incarnation:
        return newest
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%SZ}-{digest_of(incarnation).removeprefix('sha256:')[:12]}.json"
    key = _folder(incarnation["stack"]) + name
    document = {**incarnation, "recorded": now.isoformat(timespec="seconds")}
    account.write(key, canonical(document | ({"signature": signature(document, signing)} if signing else {})))
    if _content(account.read(key), signing) != incarnation:
        raise ReleaseError(f"{account.bucket}/{key}: holds something else already; pulumi up again")
    return key


def newest_of(account: AccountPlace, stack: str) -> str | None:
    """The key of a stack's newest incarnation; None when there is none.

    By the store's clock, not by the key's: whose clock was wrong must not hide what comes after.
    """
    written = account.oldest(_folder(stack))
    return max(written, key=lambda key: (written[key].written, key), default=None)


def _folder(stack: str) -> str:
    return f"stacks/{stack}/incarnations/"


def _content(body: bytes | None, signing: bytes) -> object:
    """What was recorded; None for what is no incarnation, or not signed, which is not in the way of one."""
    try:
        found = json.loads(body or b"")
        if signing and not signed(found, signing):
            return None
        return {key: value for key, value in found.items() if key not in {"recorded", "signature"}}
    except (AttributeError, RecursionError, ValueError):
        return None
