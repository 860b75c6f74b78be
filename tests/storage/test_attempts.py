"""What somebody with a customer's keys, or with none, may try against what is stored: all is refused and logged.

Both objects are attacked: one that has its own date already, and one so young that the sealer has not seen it yet.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import Keys, StoreError, client, policy
from tests.platform.machine import eventually

from .conftest import ADMINISTRATOR, AT_THE_DOOR, Gateway

CONTENT = b"every order of last night"
VICTIM, RIVAL = Terms("victim", 180, locked=True), Terms("rival", 180, locked=True)
BUCKET = VICTIM.bucket
SOON = datetime.now(UTC) + timedelta(days=1)
REFUSED = re.compile(r" (4\d\d|501) \w{3,} |<Code>\w+| refused 4\d\d ")
HARMLESS = "00000000-0000-0000-0000-000000000000"
MODES = ("COMPLIANCE", "GOVERNANCE")


@dataclass
class Scene:
    """A stored object, and who is about to attack it."""

    gateway: Gateway
    key: str
    version: str
    mine: Any  # an S3 client with the victim's own keys, as a hostile task runner has them
    rival: Any
    withdrawn: Any
    keys: Keys

    @property
    def here(self) -> dict[str, str]:
        return {"Bucket": BUCKET, "Key": self.key, "VersionId": self.version}


@pytest.fixture(scope="module", params=["sealed", "young"])
def scene(gateway: Gateway, store: ObjectLockStore, administrator: Any, request: pytest.FixtureRequest) -> Scene:
    withdrawn = client(gateway.endpoint, store.open(VICTIM))
    keys = store.open(VICTIM)
    mine, rival = client(gateway.endpoint, keys), client(gateway.endpoint, store.open(RIVAL))
    version = mine.put_object(Bucket=BUCKET, Key=request.param, Body=CONTENT)["VersionId"]
    if request.param == "sealed":
        retention = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=180)}
        administrator.put_object_retention(Bucket=BUCKET, Key="sealed", VersionId=version, Retention=retention)
    return Scene(gateway, request.param, version, mine, rival, withdrawn, keys)


@pytest.fixture(autouse=True)
def untouched(scene: Scene, store: ObjectLockStore, administrator: Any) -> Iterator[None]:
    """After each attempt the stored version is what it was, and so is what protects it."""
    yield
    assert administrator.get_object(**scene.here)["Body"].read() == CONTENT
    assert scene.mine.get_object(**scene.here)["Body"].read() == CONTENT
    listed = scene.mine.list_object_versions(Bucket=BUCKET, Prefix=scene.key)["Versions"]
    assert (scene.key, scene.version) in {(each["Key"], each["VersionId"]) for each in listed}
    assert store.inspect("victim") == VICTIM
    assert json.loads(administrator.get_bucket_policy(Bucket=BUCKET)["Policy"]) == policy(BUCKET)
    if scene.key == "sealed":
        until = administrator.get_object_retention(**scene.here)["Retention"]["RetainUntilDate"]
        assert until > datetime.now(UTC) + timedelta(days=179)


def _retention(days: int, mode: str) -> dict[str, Any]:
    return {"Mode": mode, "RetainUntilDate": datetime.now(UTC) + timedelta(days=days)}


def _shorten(mode: str, *, bypass: bool) -> Callable[[Scene], Any]:
    return lambda s: s.mine.put_object_retention(
        **s.here, Retention=_retention(1, mode), BypassGovernanceRetention=bypass
    )


def _overwrite_for_a_day(mode: str) -> Callable[[Scene], Any]:
    return lambda s: s.mine.put_object(
        Bucket=BUCKET, Key=s.key, Body=b"evil", ObjectLockMode=mode, ObjectLockRetainUntilDate=SOON
    )


def _abort(upload: str) -> Callable[[Scene], Any]:
    return lambda s: s.mine.abort_multipart_upload(Bucket=BUCKET, Key=s.key, UploadId=upload)


def _upload_part(upload: str) -> Callable[[Scene], Any]:
    return lambda s: s.mine.upload_part(Bucket=BUCKET, Key=s.key, UploadId=upload, PartNumber=1, Body=b"evil")


def _abort_by(query: str) -> Callable[[Scene], Any]:
    return lambda s: _signed(s, "DELETE", query)


def _signed(scene: Scene, method: str, query: str = "", path: str | None = None) -> None:
    """A request with exactly this query or path below the bucket, properly signed."""
    target = f"/{BUCKET}/{scene.key if path is None else path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, scene.gateway.endpoint + target)
    S3SigV4Auth(Credentials(scene.keys.access, scene.keys.secret), "s3", "us-east-1").add_auth(request)
    with closing(http.client.HTTPConnection("127.0.0.1", scene.gateway.port, timeout=60)) as connection:
        connection.request(method, target, headers=dict(request.headers.items()))
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 400:
            raise StoreError(f"{answer.status} {answer.reason}")


def _write(spelling: str) -> Callable[[Scene], Any]:
    return lambda s: _signed(s, "PUT", path=spelling.format(s.key))


def _read(version: str) -> Callable[[Scene], Any]:
    return lambda s: _signed(s, "GET", f"versionId={version}")


def _form(spelling: str) -> Callable[[Scene], Any]:
    """An upload as browsers do it: the key is in the body."""
    return lambda s: _send_form(s.gateway, s.mine, spelling.format(s.key))


def _send_form(gateway: Gateway, s3: Any, key: str) -> None:
    fields = s3.generate_presigned_post(BUCKET, key)["fields"]
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    body = "".join(parts) + '--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nevil\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    url = f"{gateway.endpoint}/{BUCKET}"
    _send(urllib.request.Request(url, method="POST", data=body.encode(), headers=headers))


def _lock(rule: dict[str, Any] | None) -> dict[str, Any]:
    return {"ObjectLockEnabled": "Enabled"} | ({"Rule": {"DefaultRetention": rule}} if rule else {})


def _one(scene: Scene) -> dict[str, Any]:
    return {"Objects": [{"Key": scene.key, "VersionId": scene.version}]}


def _raw(scene: Scene, method: str, path: str, **headers: str) -> None:
    """A request that nobody signed."""
    request = urllib.request.Request(scene.gateway.endpoint + path, method=method, data=b"x", headers=headers)
    _send(request)


def _send(request: urllib.request.Request) -> None:
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except urllib.error.HTTPError as refused:
        refused.close()
        raise


def _presigned_deletion(scene: Scene) -> None:
    _send(
        urllib.request.Request(scene.mine.generate_presigned_url("delete_object", Params=scene.here), method="DELETE")
    )


def _account(scene: Scene, verb: str, query: dict[str, str], account: dict[str, str] | None = None) -> None:
    ObjectLockStore(scene.gateway.endpoint, scene.keys)._admin(verb, query, account)


def _public() -> str:
    anyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{BUCKET}/*"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [anyone]})


ATTEMPTS: dict[str, Callable[[Scene], Any]] = {
    # deletion
    "delete the version": lambda s: s.mine.delete_object(**s.here),
    "delete it with the bypass header": lambda s: s.mine.delete_object(**s.here, BypassGovernanceRetention=True),
    "hide it behind a delete marker": lambda s: s.mine.delete_object(Bucket=BUCKET, Key=s.key),
    "delete its null version": lambda s: s.mine.delete_object(Bucket=BUCKET, Key=s.key, VersionId="null"),
    "delete through a presigned address": _presigned_deletion,
    "delete many at once": lambda s: s.mine.delete_objects(Bucket=BUCKET, Delete=_one(s)),
    "hide many at once": lambda s: s.mine.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": s.key}]}),
    "delete the bucket": lambda s: s.mine.delete_bucket(Bucket=BUCKET),
    "expire by a lifecycle rule": lambda s: s.mine.put_bucket_lifecycle_configuration(
        Bucket=BUCKET,
        LifecycleConfiguration={"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}]},
    ),
    # retention
    **{
        f"shorten its retention to a day, {mode}, {how}": _shorten(mode, bypass=bypass)
        for mode in MODES
        for how, bypass in (("plain", False), ("with the bypass header", True))
    },
    "extend its retention": lambda s: s.mine.put_object_retention(**s.here, Retention=_retention(999, "COMPLIANCE")),
    "lift a legal hold": lambda s: s.mine.put_object_legal_hold(**s.here, LegalHold={"Status": "OFF"}),
    "shorten the default retention": lambda s: s.mine.put_object_lock_configuration(
        Bucket=BUCKET, ObjectLockConfiguration=_lock({"Mode": "COMPLIANCE", "Days": 1})
    ),
    "weaken the default mode": lambda s: s.mine.put_object_lock_configuration(
        Bucket=BUCKET, ObjectLockConfiguration=_lock({"Mode": "GOVERNANCE", "Days": 180})
    ),
    "remove the default retention": lambda s: s.mine.put_object_lock_configuration(
        Bucket=BUCKET, ObjectLockConfiguration=_lock(None)
    ),
    **{f"overwrite with a one-day date of its own, {mode}": _overwrite_for_a_day(mode) for mode in MODES},
    "copy onto itself with a one-day date": lambda s: s.mine.copy_object(
        Bucket=BUCKET, Key=s.key, CopySource=s.here, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=SOON
    ),
    "multipart with a one-day date": lambda s: s.mine.create_multipart_upload(
        Bucket=BUCKET, Key=s.key, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=SOON
    ),
    # uploads that are none: versitygw joins their ids into a path
    **{
        f"abort the upload {upload!r}": _abort(upload)
        for upload in ("../../..", "../../../../stele-rival", "../../../../../versions", "..%2f..", "", "x")
    },
    **{
        f"upload a part to {upload!r}": _upload_part(upload)
        for upload in ("../../..", "../../../../stele-rival", "../../..?uploadId=x", "x&uploadId=../../..")
    },
    "abort by an id written otherwise": lambda s: _signed(s, "DELETE", "%75ploadId=../../.."),
    "abort by two ids": lambda s: _signed(s, "DELETE", f"uploadId={HARMLESS}&uploadId=../../.."),
    "abort by two ids, one written otherwise": lambda s: _signed(
        s, "DELETE", f"uploadId={HARMLESS}&upload%49d=../../.."
    ),
    **{
        f"abort by two ids with {between} between": _abort_by(f"uploadId=../../..&x={between}&uploadId={HARMLESS}")
        for between in ("%0a", "%00", "%0D%0A", "", "%C3%28", ";", "%26")
    },
    "abort by an id after a fragment": _abort_by("x=1#&uploadId=../../.."),
    "abort by an id after a second question mark": _abort_by("x=1?uploadId=../../.."),
    "abort by an id in capitals": _abort_by("UPLOADID=../../.."),
    "a key that cannot be listed": lambda s: s.mine.put_object(Bucket=BUCKET, Key="a\x01b", Body=b""),
    **{
        f"a key that cannot be dated, {path}": _write(path)
        for path in ("folder/", "folder%2F", "a%ffb", "a%ef%bf%bf", "a/.sgwtmp/b", "a%zz", "a%4")
    },
    # versitygw takes each for the same file, and files what it replaces under the spelling
    **{
        f"spell it {spelling}": _write(spelling)
        for spelling in ("/{}", "./{}", "x/../{}", "{}/.", "%2F{}", "x%2f..%2f{}", "%2e/{}", "..%2f" + BUCKET + "/{}")
    },
    **{
        f"spell it {spelling} in a form": _form(spelling)
        for spelling in ("/{}", "x/../{}", "../" + RIVAL.bucket + "/{}", ".sgwtmp/{}")
    },
    # a version that is a path: versitygw 1.8.0 looks at its length only
    **{
        f"read the version {version!r}": _read(version)
        for version in ("../../../../../stele-rival", "../../../../../../accounts", "../../../../../../objects/", "")
    },
    "copy from a version that is a path": lambda s: s.mine.copy_object(
        Bucket=BUCKET, Key="copied", CopySource=f"{BUCKET}/{s.key}?versionId=../../../../../../objects/"
    ),
    "copy from another bucket by a path": lambda s: s.mine.copy_object(
        Bucket=BUCKET, Key="copied", CopySource=f"{BUCKET}/../{RIVAL.bucket}/{s.key}"
    ),
    "spell it with two slashes before": lambda s: _raw(s, "PUT", f"//{BUCKET}/{s.key}"),
    # the bucket's own settings
    "suspend versioning": lambda s: s.mine.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}
    ),
    "make the bucket public by policy": lambda s: s.mine.put_bucket_policy(Bucket=BUCKET, Policy=_public()),
    "delete the policy": lambda s: s.mine.delete_bucket_policy(Bucket=BUCKET),
    "make the bucket public by ACL": lambda s: s.mine.put_bucket_acl(Bucket=BUCKET, ACL="public-read-write"),
    "make the object public by ACL": lambda s: s.mine.put_object_acl(Bucket=BUCKET, Key=s.key, ACL="public-read"),
    "take the bucket's ownership controls": lambda s: s.mine.put_bucket_ownership_controls(
        Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    ),
    "change the tag that says whose it is": lambda s: s.mine.put_bucket_tagging(
        Bucket=BUCKET, Tagging={"TagSet": [{"Key": "stele.customer", "Value": "rival"}]}
    ),
    "remove that tag": lambda s: s.mine.delete_bucket_tagging(Bucket=BUCKET),
    "change the object's tags": lambda s: s.mine.put_object_tagging(
        Bucket=BUCKET, Key=s.key, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
    ),
    "make the bucket again": lambda s: s.mine.create_bucket(Bucket=BUCKET),
    "make a bucket of one's own": lambda s: s.mine.create_bucket(Bucket="stele-mine"),
    # accounts
    "become administrator": lambda s: _account(s, "update-user", {"access": BUCKET}, {"Role": "admin"}),
    "make an administrator": lambda s: _account(
        s, "create-user", {}, {"Access": "evil", "Secret": "evil-secret", "Role": "admin"}
    ),
    "list the accounts": lambda s: _account(s, "list-users", {}),
    "delete another account": lambda s: _account(s, "delete-user", {"access": RIVAL.bucket}),
    "take over another bucket": lambda s: _account(s, "change-bucket-owner", {"bucket": RIVAL.bucket, "owner": BUCKET}),
    # another customer
    "read another customer's object": lambda s: s.rival.get_object(**s.here),
    "list another customer's bucket": lambda s: s.rival.list_object_versions(Bucket=BUCKET),
    "write to another customer's bucket": lambda s: s.rival.put_object(Bucket=BUCKET, Key=s.key, Body=b"evil"),
    "copy from another customer's bucket": lambda s: s.rival.copy_object(
        Bucket=RIVAL.bucket, Key="stolen", CopySource=s.here
    ),
    "delete another customer's version": lambda s: s.rival.delete_object(**s.here),
    "look at another customer's retention": lambda s: s.rival.get_object_retention(**s.here),
    "reach another bucket by a path": lambda s: s.rival.get_object(Bucket=RIVAL.bucket, Key=f"../{BUCKET}/{s.key}"),
    # stolen and expired keys
    "read with withdrawn keys": lambda s: s.withdrawn.get_object(**s.here),
    "write with withdrawn keys": lambda s: s.withdrawn.put_object(Bucket=BUCKET, Key=s.key, Body=b"evil"),
    "read without keys": lambda s: _raw(s, "GET", f"/{BUCKET}/{s.key}"),
    "write without keys": lambda s: _raw(s, "PUT", f"/{BUCKET}/{s.key}"),
    "delete without keys": lambda s: _raw(s, "DELETE", f"/{BUCKET}/{s.key}?versionId={s.version}"),
    "write with somebody's access key and no signature": lambda s: _raw(
        s, "PUT", f"/{BUCKET}/{s.key}", Authorization=f"AWS {ADMINISTRATOR.access}:x"
    ),
}


DOORS = ("abort", "upload a part", "spell it", "a key that", "read the version", "copy from a version")


@pytest.mark.parametrize("attempt", [each for each in ATTEMPTS if each.startswith(DOORS)])
def test_what_the_store_would_do_wrong_does_not_reach_it(scene: Scene, attempt: str) -> None:
    """However it is written: once it is there, only the signature would be in its way."""
    door = scene.gateway.folder / "door.log"
    before = len(door.read_text())
    with pytest.raises((ClientError, StoreError, urllib.error.HTTPError)):
        ATTEMPTS[attempt](scene)
    eventually(lambda: " refused 400 " in door.read_text()[before:], "the door says so in its log")


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_refused(scene: Scene, attempt: str) -> None:
    before = set(scene.gateway.log().splitlines())
    with pytest.raises((ClientError, StoreError, urllib.error.HTTPError)) as refusal:
        ATTEMPTS[attempt](scene)
    assert "\n" not in str(refusal.value)
    eventually(
        lambda: any(REFUSED.search(line) for line in set(scene.gateway.log().splitlines()) - before), "it is in a log"
    )


@pytest.mark.parametrize("days", [181, 36_500])
def test_a_clock_moved_forward_opens_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Neither the customer's clock nor the administrator's: the store goes by its own."""
    later = datetime.now(UTC) + timedelta(days=days)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: later.replace(tzinfo=None))
    for s3 in (scene.mine, client(scene.gateway.endpoint, ADMINISTRATOR)):
        with pytest.raises(ClientError, match="RequestTimeTooSkewed"):
            s3.delete_object(**scene.here)
    monkeypatch.undo()


def test_overwriting_only_adds_versions(scene: Scene) -> None:
    """Allowed, for there is no other way to add; each kind leaves the stored version where it was."""
    mine, where = scene.mine, {"Bucket": BUCKET, "Key": scene.key}
    mine.put_object(**where, Body=b"evil")
    mine.copy_object(**where, CopySource=scene.here, MetadataDirective="REPLACE", Metadata={"a": "b"})
    upload = mine.create_multipart_upload(**where)["UploadId"]
    part = mine.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"evil")["ETag"]
    mine.complete_multipart_upload(
        **where, UploadId=upload, MultipartUpload={"Parts": [{"ETag": part, "PartNumber": 1}]}
    )
    upload = mine.create_multipart_upload(**where)["UploadId"]
    mine.abort_multipart_upload(**where, UploadId=upload)
    found = mine.list_object_versions(Bucket=BUCKET, Prefix=scene.key)["Versions"]
    assert scene.version in {each["VersionId"] for each in found}
    assert len(found) >= 4


def test_not_even_the_administrator_shortens_or_deletes_what_has_its_date(scene: Scene, administrator: Any) -> None:
    with pytest.raises(ClientError, match="object protected by object lock"):
        administrator.delete_object(**scene.here, BypassGovernanceRetention=True)
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        administrator.delete_bucket(Bucket=BUCKET)
    with pytest.raises(ClientError, match="InvalidBucketState"):
        administrator.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    for mode in MODES if scene.key == "sealed" else ():
        with pytest.raises(ClientError, match="object protected by object lock"):
            administrator.put_object_retention(
                **scene.here, Retention=_retention(1, mode), BypassGovernanceRetention=True
            )


@pytest.mark.parametrize("spelling", ["{}", "/{}", "x/../{}", "{}/", "x/%2e%2e/{}"])
def test_not_even_the_administrator_hides_it_by_many_at_once_or_a_form(
    scene: Scene, administrator: Any, spelling: str
) -> None:
    """Their keys are in the body, which the door does not read; another spelling of one would hide its versions."""
    key = spelling.format(scene.key)
    with pytest.raises(ClientError, match=AT_THE_DOOR):
        administrator.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        _send_form(scene.gateway, administrator, key)


def test_not_even_the_administrator_adds_a_delete_marker(scene: Scene, administrator: Any) -> None:
    """versitygw 1.8.0 does it in steps: what is written in between, and acknowledged, would be gone."""
    with pytest.raises(ClientError, match=AT_THE_DOOR):
        administrator.delete_object(Bucket=BUCKET, Key=scene.key)
