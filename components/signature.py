"""Signatures of what is kept in an account, with the customer's ``backup-key``: who has the account's keys alone can
add nothing that counts. The task runner does the same (runtimes/task-runner/runner/signature.py).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any


def signing_key(passphrase: str) -> bytes:
    """Derived slowly (scrypt, RFC 7914): what is signed must not help to guess the passphrase."""
    return hashlib.scrypt(passphrase.encode(), salt=b"stele backup record", n=2**14, r=8, p=1, dklen=32)


def signature(document: Mapping[str, Any], key: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) of a document without its signature."""
    # ASCII, as the runner writes it: components.manifest.canonical is another text.
    text = json.dumps({**document, "signature": ""}, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def signed(document: Mapping[str, Any], key: bytes) -> bool:
    """Whether a document is signed with that key; what anybody may have put there instead of a signature is none."""
    try:
        return hmac.compare_digest(signature(document, key), str(document["signature"]))
    except (KeyError, RecursionError, TypeError, ValueError):
        return False


def seal(stack: str, name: str, result: str, digest: str, key: bytes) -> str:
    """HMAC-SHA256 of what the file name of a backup's record says; the task runner writes it there."""
    return hmac.new(key, "\n".join([stack, name, result, digest]).encode(), "sha256").hexdigest()
