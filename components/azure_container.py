"""A container of an Azure storage account, as a write-once place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from components.account_place import FAILED, NOT_THERE, AccountPlace, First
from components.storage_settings import Backend

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import ContainerClient

# Azure's libraries are imported where they are used, as S3's are (bucket.py).
TIMEOUT = 10  # seconds
_LOST = "BlobNotFound"  # although the store lists it
_ACCESS = "its identity may not do that here; az login, or pulumi up --refresh of its storage stack"
_MENDS = {
    "ContainerNotFound": NOT_THERE,
    "AccountIsDisabled": NOT_THERE,
    "AuthenticationFailed": _ACCESS,
    "AuthorizationFailure": _ACCESS,
    "AuthorizationPermissionMismatch": _ACCESS,
    "PublicAccessNotPermitted": _ACCESS,
}


@dataclass(frozen=True)
class AzureContainer(AccountPlace):
    """A customer's container. ``client_id``: of the managed identity that may add and read there, on a host that has
    it; anywhere else it is whoever is logged in to Azure. An account that knows shared keys, as emulators do, takes
    those."""

    client_id: str = ""
    backend = Backend.AZURE

    def oldest(self, prefix: str) -> dict[str, First]:
        found: dict[str, First] = {}
        with self._one_line_errors():
            for blob in self._client.list_blobs(name_starts_with=prefix, include=["versions"]):
                # A version's id is the moment at which it was written, so that ids sort by time.
                first = First(blob.version_id or "", _moment(blob.version_id) or blob.last_modified, blob.size)
                known = found.get(blob.name)
                if known is None or first.version < known.version:
                    found[blob.name] = first
        return found

    def fetch(self, key: str, first: First) -> bytes:
        from azure.core.exceptions import HttpResponseError, IncompleteReadError

        with self._one_line_errors():
            try:
                body: bytes = self._client.download_blob(key, version_id=first.version or None).readall()
            except IncompleteReadError as error:
                raise self.damaged(key, "the store breaks off while it is read") from error
            except HttpResponseError as error:
                if error.status_code == HTTPStatus.INTERNAL_SERVER_ERROR or _code(error) == _LOST:
                    raise self.damaged(key, f"the store cannot read it ({_code(error)})") from error
                raise
            return body

    def write(self, key: str, body: bytes) -> None:
        from azure.core.exceptions import ResourceExistsError

        with self._one_line_errors():
            try:
                self._client.upload_blob(key, body, overwrite=False)
            except ResourceExistsError:
                return

    def inspect(self) -> tuple[datetime, str | None]:
        dates: list[str] = []
        with self._one_line_errors():
            found = self._client.get_container_properties(
                raw_response_hook=lambda answer: dates.append(answer.http_response.headers["Date"])
            )
        worm = found.immutable_storage_with_versioning_enabled
        return parsedate_to_datetime(dates[-1]), None if worm else "has no immutable storage with versioning"

    @cached_property
    def _client(self) -> ContainerClient:
        from azure.storage.blob import ContainerClient, LinearRetry

        credential: Any
        if self.secret_key:
            credential = {"account_name": self.access_key, "account_key": self.secret_key}
        else:
            from azure.identity import DefaultAzureCredential

            credential = DefaultAzureCredential(managed_identity_client_id=self.client_id or None)
        return ContainerClient(
            self.endpoint,
            self.bucket,
            credential,
            connection_timeout=TIMEOUT,
            read_timeout=6 * TIMEOUT,
            retry_policy=LinearRetry(backoff=1, retry_total=2),
        )

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

        try:
            yield
        except ClientAuthenticationError as error:
            raise self.refused(_code(error), _ACCESS) from error
        except HttpResponseError as error:
            raise self.refused(_code(error), _MENDS.get(_code(error), FAILED)) from error
        except AzureError as error:
            raise self.silent(error) from error


def _code(error: HttpResponseError) -> str:
    """The store's error code, for example ``ContainerNotFound``."""
    found = getattr(error, "error_code", None) or error.status_code or type(error).__name__
    return str(getattr(found, "value", found))


def _moment(version: str | None) -> datetime | None:
    """When a version was written, by its id: ``2026-11-25T20:15:30.1234567Z``."""
    return datetime.fromisoformat(f"{version[:26]}+00:00") if version else None
