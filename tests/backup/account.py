"""A customer's account in a real store, with the passage by which containers reach it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import Keys, client, policy
from components.signature import signature, signing_key
from tests.storage.conftest import ADMINISTRATOR, Gateway

BACKUP_KEY = "key-of-the-tests"


@dataclass(frozen=True)
class Account:
    """One customer's bucket, seen by the store's administrator; ``keys`` are the customer's own."""

    gateway: Gateway
    bucket: str
    keys: Keys

    @property
    def s3(self) -> Any:
        return client(self.gateway.endpoint, ADMINISTRATOR)

    @property
    def folder(self) -> Path:
        """The store's own files of this bucket."""
        return self.gateway.folder / "objects" / self.bucket

    @property
    def credential(self) -> str:
        """What a task runner is given as a secret."""
        return self.keys.secret

    @property
    def storage(self) -> dict[str, str]:
        """What a task runner is told."""
        return {"endpoint": self.gateway.endpoint, "bucket": self.bucket, "access_key": self.keys.access}

    @property
    def passage(self) -> Path:
        """The folder that a container gets to reach the store."""
        return Path(self.gateway.passage).parent

    def versions(self, prefix: str = "") -> list[dict[str, Any]]:
        """Every stored version of every object, restic's own lock files apart."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        found = [version for page in pages for version in page.get("Versions", [])]
        return [version for version in found if "/locks/" not in version["Key"]]

    def stored(self, prefix: str = "") -> int:
        """Bytes of all versions."""
        return sum(version["Size"] for version in self.versions(prefix))

    def repositories(self, stack: str = "shop") -> set[str]:
        """The names of a stack's repositories."""
        return {version["Key"].split("/")[2] for version in self.versions(f"backups/{stack}/")} - {"records"}

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def incarnation(self, stack: str, version: str, vanilla: bytes | None = None) -> str | None:
        """What `pulumi up` leaves in the account of a stack; the digest of the vanilla backup."""
        now, key = datetime.now(UTC), f"stacks/{stack}/incarnations/{version}.json"
        document: dict[str, Any] = {"stack": stack, "version": version, "recorded": now.isoformat(), "key": key}
        if vanilla is not None:
            digest = hashlib.sha256(vanilla).hexdigest()
            document["vanilla"] = {"key": f"releases/orders/{digest}.tar", "digest": f"sha256:{digest}"}
            self.put(f"releases/orders/{digest}.tar", vanilla)
        document["signature"] = signature(document, signing_key(BACKUP_KEY))
        self.put(key, json.dumps(document).encode())
        return str(document["vanilla"]["digest"]) if vanilla is not None else None


def opened(gateway: Gateway, customer: str, retention: int = 180) -> Account:
    """A new account, locked, as the storage stack opens it."""
    terms = Terms(customer, retention, locked=True)
    keys = ObjectLockStore(gateway.endpoint, ADMINISTRATOR).open(terms)
    account = Account(gateway, terms.bucket, keys)
    account.s3.put_bucket_policy(
        Bucket=terms.bucket, Policy=json.dumps(_with_locks(policy(terms.bucket), terms.bucket))
    )
    return account


def _with_locks(plain: dict[str, Any], bucket: str) -> dict[str, Any]:
    """restic removes its own lock files, or waits long for each; what that leaves is a delete marker."""
    resource = f"arn:aws:s3:::{bucket}/backups/*/locks/*"
    if any(resource in str(statement["Resource"]) for statement in plain["Statement"]):
        return plain
    more = {"Effect": "Allow", "Principal": {"AWS": [bucket]}, "Action": ["s3:DeleteObject"], "Resource": resource}
    return plain | {"Statement": [*plain["Statement"], more]}
