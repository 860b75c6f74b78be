"""An account's bucket as a write-once place. Keys: ``releases/<product>/<version>/<part>``.

With object lock an overwrite adds a version and a deletion a marker; neither takes anything away. So what counts is
the *oldest* version of a key: whoever holds the keys of the account cannot change what others read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from components.places import MANIFEST, Part, ReleaseError
from components.settings import VERSION

if TYPE_CHECKING:
    from components.storage_reference import Account

# boto3 takes 0.3 s to import, and an `up` that finds everything in its cache needs none of it: so it is imported where
# it is used.
_FIELDS = ("endpoint", "bucket", "access_key", "secret_key")
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}


@dataclass(frozen=True)
class Bucket:
    """An account's bucket, and the keys that may add and read there."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    mend = "restore it in the store, or publish the next version"

    @classmethod
    def of(cls, account: Account | Mapping[str, Any]) -> Bucket:
        """The bucket of an account, also in the plain form of a storage stack's outputs. Raises KeyError."""
        plain = account if isinstance(account, Mapping) else vars(account)
        return cls(*(str(plain[name]) for name in _FIELDS))

    def to_json(self) -> str:
        """The plain form, secret key included: for the environment of a command, never for its arguments."""
        return json.dumps({name: getattr(self, name) for name in _FIELDS})

    # A place of releases

    def where(self, part: Part) -> str:
        return f"{self.bucket}/{_key(part)}"

    def get(self, part: Part) -> bytes | None:
        return self.read(_key(part))

    def add(self, part: Part, body: bytes) -> None:
        self.write(_key(part), body)

    def versions(self, product: str) -> set[str]:
        names = (key.split("/")[2:] for key in self.oldest(f"releases/{product}/"))
        return {name[0] for name in names if name[1:] == [MANIFEST] and VERSION.fullmatch(name[0])}

    # What that takes of the store

    def oldest(self, prefix: str) -> dict[str, dict[str, Any]]:
        """The first version (``VersionId``, ``LastModified``, ...) of every key below ``prefix``."""
        found = {}
        with self._one_line_errors():
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
                for version in page.get("Versions", []):
                    found[version["Key"]] = version  # the store lists the newest first, so the oldest stays
        return found

    def read(self, key: str) -> bytes | None:
        """The oldest version of a key; None without one."""
        from botocore.exceptions import FlexibleChecksumError

        first = self.oldest(key).get(key)
        if first is None:
            return None
        with self._one_line_errors():
            found = self._s3.get_object(Bucket=self.bucket, Key=key, VersionId=first["VersionId"])
            try:
                body: bytes = found["Body"].read()
            except FlexibleChecksumError:
                raise ReleaseError(f"{self.bucket}/{key}: is damaged in the store; {self.mend}") from None
            return body

    def write(self, key: str, body: bytes) -> None:
        """Put a key that is not there yet; of several at once, one succeeds. The others have to look whose it is."""
        from botocore.exceptions import ClientError

        with self._one_line_errors():
            try:
                self._s3.put_object(Bucket=self.bucket, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] not in _TAKEN:
                    raise

    @cached_property
    def _s3(self) -> Any:
        from components.object_lock_keys import Keys, client

        return client(self.endpoint, Keys(self.access_key, self.secret_key))

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        from components.object_lock_keys import code, explained

        try:
            yield
        except ClientError as error:
            if code(error) in {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}:
                said = (
                    f"refused to the keys of {self.bucket}; pulumi refresh, pulumi up of its storage stack, then again"
                )
            elif code(error) == "NoSuchBucket":
                said = f"there is no bucket {self.bucket}; pulumi up of its storage stack, then again"
            else:
                said = explained(error)
            raise ReleaseError(f"{self.endpoint}: {said}") from error
        except BotoCoreError as error:
            raise ReleaseError(
                f"{self.endpoint}: the store does not answer ({error}); start it, or mend the address"
            ) from error


def _key(part: Part) -> str:
    return f"releases/{part.product}/{part.version}/{part.name}"
