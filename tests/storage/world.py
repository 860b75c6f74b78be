"""What the listed behaviours of object lock are tried on: buckets, versions with dates, and who asks for what."""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import REGION, Keys, client, code

from .conftest import ADMINISTRATOR, ROOT, Gateway

sys.path.append(str(ROOT / "platform"))
from sealer import Log, Sealer

DONE, REFUSED = "done", "refused"
CONTENT = b"every order of last night"
KEEPER = Keys("keeper", "keepers-secret-key")


class Who(StrEnum):
    """Who asks; a keeper may do everything with objects but bypass governance."""

    CUSTOMER = "customer"
    ADMINISTRATOR = "administrator"
    KEEPER = "keeper"


def until(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def rule(mode: str = "COMPLIANCE", **period: int) -> dict[str, Any]:
    """An object-lock configuration with this default retention; without a period and a mode there is no rule."""
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": mode} | period}}


class World:
    """A store with a customer's account in each mode (`firm`, `loose`) and the administrator's own buckets.

    The sealer passes when `seal` is called, so that what versitygw does by itself can be told from what it adds.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway, self.said = gateway, ""
        store = ObjectLockStore(gateway.endpoint, ADMINISTRATOR)
        self.admin = client(gateway.endpoint, ADMINISTRATOR)
        self.keys = {
            terms.bucket: store.open(terms)
            for terms in (Terms("firm", 30, locked=True), Terms("loose", 30, locked=False))
        }
        self.customers = {bucket: client(gateway.endpoint, keys) for bucket, keys in self.keys.items()}
        self.firm, self.loose = self.keys
        self.sealer = Sealer(self.admin, Log(gateway.folder / "none"))
        self._names = itertools.count()
        self.free, self.plain = self.new_bucket(), self.new_bucket(lock=False)
        store._admin("create-user", {}, {"Access": KEEPER.access, "Secret": KEEPER.secret, "Role": "user"})
        actions = [f"s3:{verb}" for verb in ("PutObject", "GetObject", "DeleteObject", "DeleteObjectVersion")]
        actions += ["s3:PutObjectRetention", "s3:GetObjectRetention", "s3:PutObjectLegalHold"]
        self.kept = self.new_bucket()
        grant = {"Effect": "Allow", "Principal": {"AWS": [KEEPER.access]}, "Action": actions}
        self.set_policy(self.kept, grant | {"Resource": f"arn:aws:s3:::{self.kept}/*"})
        self.keeper = client(gateway.endpoint, KEEPER)

    def set_policy(self, bucket: str, *statements: dict[str, Any]) -> None:
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        self.admin.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))

    def new_bucket(self, *, lock: bool = True) -> str:
        name = f"bucket-{next(self._names)}"
        self.admin.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        return name

    def seal(self) -> None:
        """The sealer's round over all versions."""
        self.sealer.sweep()

    def s3(self, who: Who, bucket: str) -> Any:
        return {Who.ADMINISTRATOR: self.admin, Who.KEEPER: self.keeper}.get(who) or self.customers[bucket]

    def tries(self, who: Who, call: str, /, **arguments: Any) -> str:
        """Whether the store lets him; `said` is its reason."""
        return self.attempt(lambda: getattr(self.s3(who, arguments["Bucket"]), call)(**arguments))

    def attempt(self, request: Callable[[], Any]) -> str:
        self.said = ""
        try:
            request()
        except ClientError as error:
            self.said = code(error) or "at the door"
            return REFUSED
        except urllib.error.HTTPError as error:
            with error:
                self.said = str(error.code)
            return REFUSED
        return DONE

    def put(self, bucket: str, key: str = "", **arguments: Any) -> dict[str, str]:
        """A new version, written by whoever owns the bucket; of a new object unless it has a key."""
        key = key or f"object-{next(self._names)}"
        s3 = self.customers.get(bucket, self.admin)
        version = s3.put_object(Bucket=bucket, Key=key, Body=CONTENT, **arguments)["VersionId"]
        return {"Bucket": bucket, "Key": key, "VersionId": version}

    def held(self, bucket: str, mode: str = "COMPLIANCE", days: float = 30) -> dict[str, str]:
        """A new version with a date of its own."""
        where = self.put(bucket)
        date = {"Mode": mode, "RetainUntilDate": until(days)}
        self.admin.put_object_retention(**where, Retention=date)
        return where

    def expired(self, bucket: str, **more: Any) -> dict[str, str]:
        """A new version whose own date is over."""
        date = until(0) + timedelta(seconds=2)
        where = self.put(bucket, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=date, **more)
        while datetime.now(UTC) <= date + timedelta(seconds=1):
            time.sleep(0.1)
        return where

    def lock_file(self, *, removed: bool = False) -> dict[str, str]:
        """A customer's lock file with its date; ``removed``: its delete marker."""
        where = self.put(self.firm, f"backups/shop/locks/{next(self._names):064x}")
        self.seal()
        if removed:
            where["VersionId"] = self.customers[self.firm].delete_object(Bucket=self.firm, Key=where["Key"])[
                "VersionId"
            ]
        return where

    def mode(self, where: dict[str, str]) -> str:
        """The mode of a version's own date, or that it has none."""
        try:
            return str(self.admin.get_object_retention(**where)["Retention"]["Mode"])
        except ClientError as error:
            return code(error)

    def date(self, where: dict[str, str]) -> datetime:
        found: datetime = self.admin.get_object_retention(**where)["Retention"]["RetainUntilDate"]
        return found

    def intact(self, where: dict[str, str]) -> bool:
        """Whether a version has its bytes and is listed."""
        listed = self.admin.list_object_versions(Bucket=where["Bucket"], Prefix=where["Key"]).get("Versions", [])
        there = where["VersionId"] in {each["VersionId"] for each in listed}
        return there and bool(self.admin.get_object(**where)["Body"].read() == CONTENT)

    def raw_put(self, bucket: str, headers: dict[str, str]) -> str:
        """A signed upload with these headers only: no digest of any kind."""
        target = f"/{bucket}/object-{next(self._names)}"
        request = AWSRequest("PUT", self.gateway.endpoint + target, data=CONTENT, headers=headers)
        S3SigV4Auth(Credentials(ADMINISTRATOR.access, ADMINISTRATOR.secret), "s3", REGION).add_auth(request)
        with closing(http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)) as connection:
            connection.request("PUT", target, body=CONTENT, headers=dict(request.headers.items()))
            answer = connection.getresponse()
            answer.read()
        self.said = str(answer.status)
        return DONE if answer.status == 200 else REFUSED

    def presigned(self, who: Who, call: str, method: str, headers: dict[str, str], **arguments: Any) -> str:
        """Send an address that he has signed, from elsewhere, without keys."""
        url = self.s3(who, arguments["Bucket"]).generate_presigned_url(call, Params=arguments)
        data = CONTENT if method == "PUT" else None
        request = urllib.request.Request(url, method=method, headers=headers, data=data)
        return self.attempt(lambda: urllib.request.urlopen(request, timeout=60).close())


def at(folder: Path, port: int) -> World:
    """A world of its own."""
    gateway = Gateway(folder, port)
    gateway.start()
    return World(gateway)
