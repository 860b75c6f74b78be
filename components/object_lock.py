"""Customers' accounts in an S3 object-lock store: a bucket, its retention, and keys that may add and read only.

The store is versitygw (https://github.com/versity/versitygw) behind the platform's door, here or on another machine.
The administrator opens accounts; customers' keys never change what is stored.
"""

from __future__ import annotations

import json
import re
import secrets
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session

from components.object_lock_keys import REGION, TIMEOUT, Keys, StoreError, client, code, explained, policy, unreached
from components.storage_settings import CUSTOMER, LONGEST_RETENTION

CUSTOMER_TAG = "stele.customer"


@dataclass(frozen=True)
class Terms:
    """Whose an account is, and for how long what is stored stays: ``retention`` in days from when it was written.

    ``locked``: nobody can shorten that any more, the administrator included (COMPLIANCE). Otherwise the administrator
    can (GOVERNANCE), which is for trying things out.
    """

    customer: str
    retention: int
    locked: bool

    def __post_init__(self) -> None:
        if not CUSTOMER.fullmatch(self.customer):
            raise StoreError(
                f"customer: {self.customer!r} is not allowed; allowed: 3 to 52 lower-case letters, digits, hyphens"
            )
        if not 1 <= self.retention <= LONGEST_RETENTION:
            raise StoreError(
                f"retention: {self.retention} is not allowed; allowed: whole days from 1 to {LONGEST_RETENTION}"
            )

    @property
    def bucket(self) -> str:
        return f"stele-{self.customer}"

    @property
    def mode(self) -> str:
        return "COMPLIANCE" if self.locked else "GOVERNANCE"


class ObjectLockStore:
    """The store at ``endpoint``, seen by its administrator."""

    def __init__(self, endpoint: str, administrator: Keys) -> None:
        self._endpoint, self._administrator = endpoint.rstrip("/"), administrator
        self._s3 = client(endpoint, administrator)

    def open(self, terms: Terms) -> Keys:
        """Open the account, or adopt the one that is there; returns new keys. May be repeated after an interruption."""
        with self._one_line_errors():
            self._require_door()
            found = self._terms(terms.bucket)
            if found is None:
                self._create(terms)
            else:
                self._allow_change(found, terms)
            self._set_retention(terms)
            keys = self._new_keys(terms)
            self._s3.put_bucket_policy(Bucket=terms.bucket, Policy=json.dumps(policy(terms.bucket)))
            return keys

    def amend(self, terms: Terms) -> None:
        """Change the terms: the retention of what will be written, the lock also of what is there.

        Once locked, neither the lock nor the retention is taken back.
        """
        with self._one_line_errors():
            self._require_door()
            found = self._terms(terms.bucket)
            if found is None:
                raise StoreError(
                    f"bucket {terms.bucket}: is not in the store at {self._endpoint}; if it was deleted there: "
                    "pulumi refresh, then pulumi up; if this is another store: declare it in a stack of its own"
                )
            self._allow_change(found, terms)
            self._set_retention(terms)

    def inspect(self, customer: str) -> Terms | None:
        """The terms in force, or None without an account. Raises StoreError when nothing protects the bucket."""
        with self._one_line_errors():
            return self._terms(Terms(customer, 1, locked=False).bucket)

    def admits(self, terms: Terms, keys: Keys) -> bool:
        """Whether these keys may do what a customer's may, and the policy is the one that was set."""
        with self._one_line_errors():
            try:
                found = json.loads(self._s3.get_bucket_policy(Bucket=terms.bucket)["Policy"])
                client(self._endpoint, keys).get_bucket_versioning(Bucket=terms.bucket)
            except ClientError as error:
                if code(error) in {"NoSuchBucketPolicy", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}:
                    return False
                raise
            return bool(found == policy(terms.bucket))

    def close(self, customer: str) -> None:
        """Delete the account with all that is in it. While something is retained, StoreError says until when."""
        bucket = Terms(customer, 1, locked=False).bucket
        with self._one_line_errors():
            found = self._terms(bucket)
            if found is None:
                self._withdraw_keys(bucket)  # of a deletion that was cut off
                return
            versions = list(self._versions(bucket))
            until = max((self._retained(found, each) for each in versions if "Size" in each), default=None)
            if until is not None and until > datetime.now(UTC):
                raise StoreError(
                    f"bucket {bucket}: {len(versions)} object versions are retained until {until:%Y-%m-%d %H:%M} UTC; "
                    f"it can be deleted then (pulumi state delete lets go of it and leaves it alone)"
                )
            self._withdraw_keys(bucket)  # nobody adds from here on
            for each in versions:
                self._s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
            if any(self._versions(bucket)):
                raise StoreError(
                    f"bucket {bucket}: something was written while it was being deleted, and stays; its keys are "
                    "withdrawn: pulumi refresh, then pulumi up makes new ones"
                )
            self._s3.delete_bucket(Bucket=bucket)

    def _require_door(self) -> None:
        """Refuse a versitygw without the platform's door, or behind an older one: the policy relies on it."""
        nothing = {"Objects": [{"Key": "is-it-there"}]}
        if not (
            self._door_refuses(self._s3.abort_multipart_upload, Key="door", UploadId="is-it-there")
            and self._door_refuses(self._s3.delete_objects, Delete=nothing)
        ):
            raise StoreError(
                f"{self._endpoint}: has no door before it, or an old one, see docs/decisions/worm-storage.md; "
                "put this one there"
            )

    @staticmethod
    def _door_refuses(request: Callable[..., Any], **arguments: Any) -> bool:
        """Whether a request for a bucket that nobody has does not reach the store."""
        try:
            request(Bucket="stele-door", **arguments)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 400 and code(error) in {"", "400"}:  # a store gives a reason
                return True
            if code(error) not in {"NoSuchBucket", "NoSuchUpload"}:
                raise
        return False

    def _create(self, terms: Terms) -> None:
        try:
            self._s3.create_bucket(Bucket=terms.bucket, ObjectLockEnabledForBucket=True)
        except ClientError as error:
            if code(error) != "BucketAlreadyOwnedByYou":  # else killed before it had its tag
                raise
        self._s3.put_bucket_tagging(
            Bucket=terms.bucket, Tagging={"TagSet": [{"Key": CUSTOMER_TAG, "Value": terms.customer}]}
        )

    @staticmethod
    def _allow_change(found: Terms, wanted: Terms) -> None:
        if found.locked and not wanted.locked:
            raise StoreError(
                f"bucket {found.bucket}: locked: false is not allowed; it is locked, which is irreversible"
            )
        if found.locked and wanted.retention < found.retention:
            raise StoreError(
                f"bucket {found.bucket}: retention: {wanted.retention} is not allowed; "
                f"it is locked: {found.retention} or more"
            )

    def _set_retention(self, terms: Terms) -> None:
        rule = {"DefaultRetention": {"Mode": terms.mode, "Days": terms.retention}}
        self._s3.put_object_lock_configuration(
            Bucket=terms.bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
        if terms.locked:
            self._lock_what_is_there(terms.bucket)

    def _lock_what_is_there(self, bucket: str) -> None:
        """The dates of what was written before the lock become as firm as it is; repeated after an interruption."""
        for version in self._versions(bucket):
            where = {"Bucket": bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
            retention = self._date(where) if "Size" in version else None
            if retention and retention["Mode"] == "GOVERNANCE" and retention["RetainUntilDate"] > datetime.now(UTC):
                firm = {"Mode": "COMPLIANCE", "RetainUntilDate": retention["RetainUntilDate"]}
                self._s3.put_object_retention(**where, Retention=firm, BypassGovernanceRetention=True)

    def _terms(self, bucket: str) -> Terms | None:
        try:
            tags = self._s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
        except ClientError as error:
            if code(error) == "NoSuchBucket":
                return None
            if code(error) != "NoSuchTagSet":
                raise
            tags = []
        customer = next((tag["Value"] for tag in tags if tag["Key"] == CUSTOMER_TAG), "")
        versioning = self._s3.get_bucket_versioning(Bucket=bucket).get("Status")
        try:
            lock = self._s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        except ClientError as error:
            if code(error) != "ObjectLockConfigurationNotFoundError":
                raise
            lock = {}
        if lock.get("ObjectLockEnabled") != "Enabled" or versioning != "Enabled":
            raise StoreError(
                f"bucket {bucket}: has no object lock, so it protects nothing; choose another customer name"
            )
        if not customer and not any(self._versions(bucket)):
            return None
        if bucket != f"stele-{customer}":
            raise StoreError(
                f"bucket {bucket}: belongs to {customer or 'nobody of Stele'}; choose another customer name"
            )
        # Killed between creation and rule, or a rule without a period: as good as the shortest one.
        rule = lock.get("Rule", {}).get("DefaultRetention", {"Mode": "GOVERNANCE", "Days": 1})
        days = int(rule.get("Days") or 365 * rule.get("Years", 0)) or 1
        return Terms(customer, days, locked=rule["Mode"] == "COMPLIANCE")

    def _new_keys(self, terms: Terms) -> Keys:
        """Keys named like the bucket; whoever held the old ones is out."""
        keys = Keys(terms.bucket, secrets.token_urlsafe(30))
        account = {"Access": keys.access, "Secret": keys.secret, "Role": "user"}
        if self._admin("create-user", {}, account, ignore="XAdminUserExists"):
            return keys
        self._admin("update-user", {"access": keys.access}, {"Secret": keys.secret, "Role": "user"})
        return keys

    def _withdraw_keys(self, bucket: str) -> None:
        self._admin("delete-user", {"access": bucket}, ignore="XAdminUserNotFound")

    def _versions(self, bucket: str) -> Iterator[dict[str, Any]]:
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            yield from page.get("Versions", [])
            yield from page.get("DeleteMarkers", [])

    def _retained(self, terms: Terms, version: dict[str, Any]) -> datetime:
        """Until when a version is kept: its own date, or the one that the sealer will give it."""
        where = {"Bucket": terms.bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
        retention = self._date(where)
        until: datetime = version["LastModified"] + timedelta(days=terms.retention)
        return retention["RetainUntilDate"] if retention else until

    def _date(self, where: dict[str, str]) -> dict[str, Any] | None:
        """A version's own retention; None while it has none."""
        try:
            return dict(self._s3.get_object_retention(**where)["Retention"])
        except ClientError as error:
            if code(error) != "NoSuchObjectLockConfiguration":
                raise
        return None

    def _admin(
        self, verb: str, query: dict[str, str], account: dict[str, str] | None = None, *, ignore: str = ""
    ) -> bool:
        """A call of versitygw's account API; False when it is refused with code ``ignore``."""
        root = ElementTree.Element("Account")
        for name, value in (account or {}).items():
            ElementTree.SubElement(root, name).text = value
        body = ElementTree.tostring(root) if account else b""
        request = AWSRequest("PATCH", f"{self._endpoint}/{verb}", data=body, params=query)
        administrator = Credentials(self._administrator.access, self._administrator.secret)
        S3SigV4Auth(administrator, "s3", REGION).add_auth(request)
        with closing(URLLib3Session(timeout=TIMEOUT)) as http:
            answer = http.send(request.prepare())
        if answer.status_code < 400:
            return True
        refusal = re.search(r"<Code>(.*?)</Code>", answer.text)
        if refusal and refusal[1] == ignore:
            return False
        raise StoreError(f"{self._endpoint}: {verb} is refused ({refusal[1] if refusal else answer.status_code})")

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise StoreError(f"{self._endpoint}: {explained(error)}") from error
        except BotoCoreError as error:
            raise StoreError(
                f"{self._endpoint}: the store does not answer ({unreached(error)}); start it, or mend the address"
            ) from error
