"""What helps against what a store complains of."""

from __future__ import annotations

_MENDS = {
    "InvalidAccessKeyId": "the store does not know the keys: pulumi up --refresh of its storage stack, then of this",
    "SignatureDoesNotMatch": "the storage secret is wrong: pulumi up --refresh of its storage stack, then of this",
    "AccessDenied": "the account's keys do not allow it: pulumi up --refresh of its storage stack mends that",
    "RequestTimeTooSkewed": "this machine's clock and the store's differ by over 15 minutes; set the clock",
    "NoSuchBucket": "the account does not exist; pulumi up of the storage stack",
    "directory not found": "the account does not exist; pulumi up of the storage stack",
    "ContainerNotFound": "the account does not exist; pulumi up of the storage stack",
    "AuthorizationPermissionMismatch": "this host's identity may not do that there; pulumi up of the storage stack",
    "AuthenticationFailed": "the account's key or this host's identity is not accepted there",
    "connection refused": "the store does not answer; start it, or mend the address",
    "EOF": "the store does not answer; start it, or mend the address",
    "no such host": "the store's name is unknown; mend the address",
    "context deadline exceeded": "the store does not answer in time",
    "i/o timeout": "the store does not answer in time",
    "no space left on device": "the disk is full; make room",
    "quota exceeded": "the disk's quota is used up; make room",
    "cannot allocate memory": "there is not enough memory; give the task runner more",
    "InternalError": "the store failed, perhaps its disk is full",
    "500 Internal Server Error": "the store failed, perhaps its disk is full",
}


def mended(text: str) -> str | None:
    """The symptom that is known in a complaint, with its mend; None where none is."""
    return next((f"{symptom}: {mend}" for symptom, mend in _MENDS.items() if symptom in text), None)
