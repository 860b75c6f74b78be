"""What one stack consisted of at one time, kept in its customer's account: any earlier incarnation can be restored.

Keys: ``stacks/<stack>/incarnations/<UTC>-<first 12 hex digits of its digest>.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from components.account_place import AccountPlace, DamagedError, First
from components.manifest import Manifest, canonical, digest_of
from components.places import ReleaseError
from components.signature import signature, signed, signing_key

SMALL = 1024**2  # bytes; one has a few thousand


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
    """Write an incarnation unless the newest is certainly the same; its key either way. ``passphrase``: the stack's
    ``backup-key``, which signs it; empty without backups. Raises ReleaseError."""
    signing = _signing(passphrase)
    newest, certain = _newest(account, incarnation["stack"], signing)
    if certain and newest is not None and newest[1] == incarnation:
        return newest[0]
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%SZ}-{digest_of(incarnation).removeprefix('sha256:')[:12]}.json"
    key = _folder(incarnation["stack"]) + name
    document = {**incarnation, "recorded": now.isoformat(timespec="seconds"), "key": key}
    account.write(key, canonical(document | ({"signature": signature(document, signing)} if signing else {})))
    if _without_marks(_document(account, key, account.oldest(key).get(key), signing)) != incarnation:
        raise ReleaseError(f"{account.bucket}/{key}: holds something else already; pulumi up again")
    return key


def newest_of(account: AccountPlace, stack: str, passphrase: str) -> tuple[str, dict[str, Any]] | None:
    """A stack's newest incarnation with its key; None when there is none. ``passphrase``: the stack's ``backup-key``;
    what is not signed with it, for that very key, is passed over, and so is what the store has damaged. Raises
    ReleaseError, also when it is the whole store that fails.

    No later than the store's clock says: whose clock was wrong must not hide what comes after. The task runner does
    the same (runtimes/task-runner/runner/night.py).
    """
    return _newest(account, stack, _signing(passphrase))[0]


def _newest(account: AccountPlace, stack: str, signing: bytes) -> tuple[tuple[str, dict[str, Any]] | None, bool]:
    """The newest that can be read, and whether it is certain that none is newer: not beside one that is damaged. Of
    that, no version counts that was written later."""
    written = account.oldest(_folder(stack))
    newest, at, certain = None, "", True
    for key in sorted(written, key=lambda key: (written[key].written, key), reverse=True):
        limit = written[key].written.astimezone(UTC).isoformat(timespec="seconds")
        if limit < at:
            break  # nor is any that was written before
        try:
            document = _document(account, key, written[key], signing)
        except DamagedError:
            account.oldest(key)  # raises if it is the store
            certain = False
            continue
        recorded = min(str(document.get("recorded")), limit)
        if document.get("stack") == stack and recorded > at:
            newest, at = (key, _without_marks(document)), recorded
    return newest, certain


def _signing(passphrase: str) -> bytes:
    return signing_key(passphrase) if passphrase else b""


def _folder(stack: str) -> str:
    return f"stacks/{stack}/incarnations/"


def _document(account: AccountPlace, key: str, first: First | None, signing: bytes) -> dict[str, Any]:
    """What was recorded there; empty for what is no incarnation, or not signed, which is not in the way of one.
    Raises ReleaseError."""
    try:
        found = json.loads(account.fetch(key, first)) if first is not None and first.size <= SMALL else {}
        good = found["key"] == key and (not signing or signed(found, signing))
        return dict(found) if good else {}
    except (KeyError, RecursionError, TypeError, ValueError):
        return {}


def _without_marks(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in {"recorded", "key", "signature"}}
