"""What a plan says of an account's backups, from a store that answers as S3 does."""

from __future__ import annotations

import hashlib
import io
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from components import object_lock_keys
from components.backup_status import Question, Status, status, unknown
from components.storage_reference import Account

# A package of an image, not of the project: it is what writes the records.
sys.path.append(str(Path(__file__).parents[2] / "runtimes/task-runner"))
from runner.signature import canonical, seal, signing_key

QUESTION = {
    "endpoint": "http://store",
    "bucket": "stele-acme",
    "access_key": "stele-acme",
    "secret_key": "the-accounts-secret",
    "stack": "dev",
    "key": "the-customers-own",
    "wanted": "newest",
}
LOCKED = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 180}}}


def hours_ago(hours: float) -> str:
    """The name of a backup that began then."""
    return f"{datetime.now(UTC) - timedelta(hours=hours):%Y-%m-%dT%H-%M-%SZ}"


def began(name: str) -> str:
    """The moment of a name, as a record has it."""
    return datetime.strptime(name, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC).isoformat()


class Store:
    """The few calls of an S3 client; ``refusal`` is what every one of them answers instead."""

    def __init__(self) -> None:
        self.versioning: dict[str, str] = {"Status": "Enabled"}
        self.lock: dict[str, Any] | None = LOCKED
        self.clock = datetime.now(UTC)
        self.objects: dict[str, bytes] = {}
        self.refusal: Exception | None = None
        self.fetched: list[str] = []

    def keep(self, name: str, result: str = "verified", **more: str) -> str:
        """A record as the task runner writes it; its key."""
        record = {"name": name, "stack": "dev", "result": result} | more
        return self.put(name, canonical(record if "finished" in more else record | {"finished": began(name)}), result)

    def put(self, name: str, text: bytes, result: str = "verified", key: str = QUESTION["key"]) -> str:
        """An object that is named like a record of this content."""
        digest = hashlib.sha256(text).hexdigest()
        sealed = seal("dev", name, result, digest, signing_key(key))
        path = f"backups/dev/records/{name}.{result}.{digest}.{sealed}.json"
        self.objects[path] = text
        return path

    def get_bucket_versioning(self, **_: str) -> dict[str, Any]:
        if self.refusal:
            raise self.refusal
        return self.versioning | {
            "ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(self.clock, usegmt=True)}}
        }

    def get_object_lock_configuration(self, **_: str) -> dict[str, Any]:
        if self.lock is None:
            raise refused("ObjectLockConfigurationNotFoundError")
        return {"ObjectLockConfiguration": self.lock}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **where: str) -> list[dict[str, Any]]:
        """A page for each object, and one without any, as S3 has them."""
        keys = [key for key in self.objects if key.startswith(where["Prefix"])]
        return [
            {"Versions": [{"Key": key, "VersionId": "1", "LastModified": self.clock, "Size": len(self.objects[key])}]}
            for key in keys
        ] or [{}]

    def get_object(self, **where: str) -> dict[str, Any]:
        self.fetched.append(where["Key"])
        return {"Body": io.BytesIO(self.objects[where["Key"]])}


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "GetBucketVersioning")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(object_lock_keys, "client", lambda *_: store)
    return store


def test_a_night_that_is_verified_is_green(store: Store) -> None:
    older, newest = hours_ago(30), hours_ago(3)
    store.keep(newest)
    store.keep(older)
    assert status(QUESTION) == Status(health="green", reason="", last=newest, backups=(older, newest))


def test_a_long_night_is_not_late(store: Store) -> None:
    store.keep(hours_ago(30), finished=datetime.now(UTC).isoformat())
    assert status(QUESTION).health == "green"


@pytest.mark.parametrize("result", ["failed", "another key", "lost"])
def test_a_plan_takes_no_backup_that_the_runner_would_refuse(store: Store, result: str) -> None:
    good, wanted = hours_ago(3), hours_ago(5)
    store.keep(good)
    if result == "another key":
        store.put(wanted, b"{}", key="somebody else's")
    else:
        path = store.keep(wanted, "verified" if result == "lost" else "failed")
        store.objects[path] += b"rotten" if result == "lost" else b""
    # A lost one is looked at only when it is wanted.
    assert status(QUESTION).backups == ((wanted, good) if result == "lost" else (good,))
    assert status(QUESTION | {"wanted": wanted}).backups == (good,)


def test_before_the_first_backup_it_is_yellow_and_the_store_is_well(store: Store) -> None:
    store.objects["backups/dev/records/README"] = b"no record"
    store.objects["backups/devil/records/x"] = b"another stack's"
    assert status(QUESTION) == Status(health="yellow", reason="there is no backup yet", last=None, backups=())


def test_a_failed_newest_is_yellow_and_the_last_good_one_is_named(store: Store) -> None:
    good, failed = hours_ago(27), hours_ago(3)
    store.keep(good)
    store.keep(failed, "failed", reason="the disk is full; make room")
    found = status(QUESTION)
    assert (found.health, found.last) == ("yellow", good)
    assert found.reason == f"backup {failed} failed: the disk is full; make room"
    assert found.store is None


def test_only_failures_are_told_as_such(store: Store) -> None:
    failed = hours_ago(3)
    store.keep(failed, "failed", reason="why")
    assert status(QUESTION) == Status(health="yellow", reason=f"backup {failed} failed: why", last=None, backups=())


@pytest.mark.parametrize(("hours", "health"), [(25.9, "green"), (26.1, "yellow")])
def test_a_night_may_be_two_hours_late(store: Store, hours: float, health: str) -> None:
    store.keep(hours_ago(hours))
    assert status(QUESTION).health == health


def test_a_newest_record_that_is_lost_is_told(store: Store) -> None:
    good, lost = hours_ago(5), hours_ago(3)
    store.keep(good)
    store.objects[store.keep(lost)] = b'{"result": "verified"}'
    found = status(QUESTION)
    assert found.health == "yellow"
    assert found.reason == f"backup {lost}: its record is lost, or cannot be read; mend the store"
    assert found.store is None  # another one can be named
    assert good in status(QUESTION | {"wanted": good}).backups


def test_junk_stops_nothing_and_is_not_even_fetched(store: Store) -> None:
    good = store.keep(hours_ago(3))
    for number in range(9):
        store.put(hours_ago(number / 9), b"x" * number, key="of-somebody-with-the-accounts-keys")
    for stranger in (good.replace("/dev/records/", "/dev/records/x"), good.replace("verified", "failed")):
        store.objects[stranger] = store.objects[good]
    found = status(QUESTION)
    assert (found.health, len(found.backups)) == ("green", 1)
    assert store.fetched == [good]


@pytest.mark.parametrize("text", [b"no json", b"[]", b"{}", b"[" * 99999, b'{"finished": 7}', b'{"finished": "2026"}'])
def test_what_a_hostile_runner_sealed_stops_no_plan(store: Store, text: bytes) -> None:
    store.put(hours_ago(1), text)
    found = status(QUESTION)
    assert (found.health, found.store) == ("yellow", None)


def test_a_record_of_another_night_does_not_count(store: Store) -> None:
    old, now = hours_ago(50), hours_ago(1)
    path = store.keep(old)
    store.objects[path.replace(old, now)] = store.objects[path]
    found = status(QUESTION)
    assert (found.health, found.last, found.backups) == ("yellow", old, (old,))


def test_backups_with_another_key_are_told(store: Store) -> None:
    store.put(hours_ago(1), b"{}", key="another")
    assert status(QUESTION).reason == "no backup is made with this backup-key"


@pytest.mark.parametrize("name", ["2999-01-01T00-00-00Z", "2026-13-45T99-00-00Z"])
def test_a_time_that_cannot_have_been_is_no_backup(store: Store, name: str) -> None:
    # Otherwise one forged record would keep a stack green for ever.
    old = hours_ago(50)
    store.keep(old)
    store.keep(name, finished="")
    found = status(QUESTION)
    assert (found.health, found.last, found.backups) == ("yellow", old, (old,))


@pytest.mark.parametrize(
    ("versioning", "lock", "told"),
    [
        ({}, LOCKED, "keeps no versions, so it protects nothing"),
        ({"Status": "Suspended"}, LOCKED, "keeps no versions, so it protects nothing"),
        ({"Status": "Enabled"}, None, "has no object lock, so it protects nothing"),
        ({"Status": "Enabled"}, {"ObjectLockEnabled": "Enabled"}, "has no object lock, so it protects nothing"),
    ],
)
def test_a_bucket_that_protects_nothing_is_a_bad_store(
    store: Store, versioning: dict[str, str], lock: dict[str, Any] | None, told: str
) -> None:
    store.keep(hours_ago(3))
    store.versioning, store.lock = versioning, lock
    found = status(QUESTION)
    assert found.store is not None
    assert told in found.store
    assert (found.health, found.last) == ("yellow", None)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_clocks_that_differ_are_told_either_way(store: Store, minutes: int) -> None:
    store.clock += timedelta(minutes=minutes)
    assert "its clock and this machine's differ by" in (status(QUESTION).store or "")
    store.clock = datetime.now(UTC) + timedelta(minutes=4)
    assert status(QUESTION).store is None


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (refused("RequestTimeTooSkewed"), "set the clock"),
        (refused("NoSuchBucket"), "the account is not there"),
        (refused("SignatureDoesNotMatch"), "pulumi up --refresh of its storage stack gives the account new keys"),
        (refused("InternalError"), "the store failed, perhaps its disk is full"),
        (EndpointConnectionError(endpoint_url="http://store"), "the store does not answer"),
    ],
)
def test_what_is_wrong_with_the_store_is_one_line_with_its_mend(store: Store, refusal: Exception, told: str) -> None:
    store.refusal = refusal
    found = status(QUESTION)
    assert found.store == found.reason
    assert told in found.reason
    assert found.reason.startswith("http://store")
    assert "the-accounts-secret" not in found.reason


def test_a_store_that_is_not_there_is_told_by_the_process_that_asks() -> None:
    nobody = Account(endpoint="http://127.0.0.1:9", bucket="stele-acme", retention=180, locked=True)
    asked = Question(nobody, "dev", "key")
    first = asked.answer
    assert first == unknown(first.reason)
    assert "http://127.0.0.1:9: the store does not answer" in first.reason
    assert asked.answer == first  # a new stack's is looked at twice
