"""An account in an S3 store with object lock, as a write-once place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from components.account_place import FAILED, NEW_KEYS, NOT_THERE, SET_THE_CLOCK, AccountPlace, First
from components.storage_settings import Backend

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# boto3 takes 0.3 s to import, and an `up` that finds everything in its cache needs none of it: so it is imported where
# it is used.

_LOST = {"NoSuchKey", "NoSuchVersion"}  # although the store lists it
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}
_MENDS = {
    "RequestTimeTooSkewed": SET_THE_CLOCK,
    "NoSuchBucket": NOT_THERE,
    "InvalidAccessKeyId": NEW_KEYS,
    "SignatureDoesNotMatch": NEW_KEYS,
    "AccessDenied": NEW_KEYS,
}


@dataclass(frozen=True)
class Bucket(AccountPlace):
    """A customer's bucket, with the keys that may add and read there."""

    backend = Backend.S3

    def oldest(self, prefix: str) -> dict[str, First]:
        found = {}
        with self._one_line_errors():
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
                for version in page.get("Versions", []):
                    # The store lists the newest first, so the oldest stays.
                    found[version["Key"]] = First(version["VersionId"], version["LastModified"], version["Size"])
        return found

    def fetch(self, key: str, first: First) -> bytes:
        from botocore.exceptions import ClientError, FlexibleChecksumError, IncompleteReadError, ResponseStreamingError

        from components.object_lock_keys import code

        with self._one_line_errors():
            try:
                found = self._s3.get_object(Bucket=self.bucket, Key=key, VersionId=first.version)
                body: bytes = found["Body"].read()
            except FlexibleChecksumError:
                raise self.damaged(key) from None
            except (IncompleteReadError, ResponseStreamingError) as error:
                raise self.damaged(key, "the store breaks off while it is read") from error
            except ClientError as error:
                if _failed(error) or code(error) in _LOST:
                    raise self.damaged(key, f"the store cannot read it ({code(error)})") from error
                raise
            return body

    def write(self, key: str, body: bytes) -> None:
        from botocore.exceptions import ClientError

        with self._one_line_errors():
            try:
                self._s3.put_object(Bucket=self.bucket, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] not in _TAKEN:
                    raise

    def inspect(self) -> tuple[datetime, str | None]:
        from botocore.exceptions import ClientError

        with self._one_line_errors():
            versioning = self._s3.get_bucket_versioning(Bucket=self.bucket)
            try:
                lock = self._s3.get_object_lock_configuration(Bucket=self.bucket)["ObjectLockConfiguration"]
            except ClientError:
                lock = {}
        clock = parsedate_to_datetime(versioning["ResponseMetadata"]["HTTPHeaders"]["date"])
        if versioning.get("Status") != "Enabled":
            return clock, "keeps no versions"
        locked = lock.get("ObjectLockEnabled") == "Enabled" and "Rule" in lock
        return clock, None if locked else "has no object lock"

    @cached_property
    def _s3(self) -> Any:
        from components.object_lock_keys import Keys, client

        return client(self.endpoint, Keys(self.access_key, self.secret_key))

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        from components.object_lock_keys import code, unreached

        try:
            yield
        except ClientError as error:
            raise self.refused(code(error), _MENDS.get(code(error), FAILED)) from error
        except BotoCoreError as error:
            raise self.silent(unreached(error)) from error


def _failed(error: ClientError) -> bool:
    """Whether the store failed at what it was asked for (500), not for lack of time or room (503, 507)."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status is not None and int(status) == HTTPStatus.INTERNAL_SERVER_ERROR
