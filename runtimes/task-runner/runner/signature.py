"""What is the stack's own in an account that others can write to: keyed digests, with a key made from ``backup-key``.

components/signature.py makes the same for `pulumi up`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def signing_key(passphrase: str) -> bytes:
    """Derived slowly (scrypt, RFC 7914), as restic's own: a record must not help to guess the passphrase."""
    return hashlib.scrypt(passphrase.encode(), salt=b"stele backup record", n=2**14, r=8, p=1, dklen=32)


def signature(document: Mapping[str, Any], key: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) of a document without its signature."""
    return hmac.new(key, canonical({**document, "signature": ""}), "sha256").hexdigest()


def signed(document: Mapping[str, Any], key: bytes) -> bool:
    """Whether a document is signed with that key; what anybody may have put there instead of a signature is none."""
    try:
        return hmac.compare_digest(str(document.get("signature")).encode(), signature(document, key).encode())
    except (ValueError, RecursionError):
        return False


def seal(stack: str, name: str, result: str, digest: str, key: bytes) -> str:
    """HMAC-SHA256 of what a record's file name says: that this stack's backup of that name came to that result, with a
    record of that SHA-256."""
    return hmac.new(key, "\n".join([stack, name, result, digest]).encode(), "sha256").hexdigest()
