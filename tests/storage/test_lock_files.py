"""restic's lock files are the only thing that a customer may remove, and even that only adds a delete marker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import Keys, StoreError, client, policy

from .conftest import AT_THE_DOOR, Gateway, delete_behind_the_door
from .test_attempts import Scene
from .test_attempts import _signed as signed

TERMS = Terms("victim", 180, locked=True)
BUCKET = TERMS.bucket
NAME = "0123456789abcdef" * 4
LOCK = f"backups/shop/locks/{NAME}"
# What a backup consists of, and what only looks like a lock file.
KEPT = (
    f"backups/shop/data/01/{NAME}",
    f"backups/shop/index/{NAME}",
    f"backups/shop/snapshots/{NAME}",
    f"backups/shop/keys/{NAME}",
    "backups/shop/config",
    f"backups/locks/{NAME}",
    f"locks/{NAME}",
    f"releases/shop/locks/{NAME}",
    f"xbackups/shop/locks/{NAME}",
    f"backups/shop/xlocks/{NAME}",
    f"backups/shop/locks/data/01/{NAME}",
    f"backups/shop/locks/index/{NAME}",
    f"backups/shop/locks/{NAME[1:]}",
    f"backups/shop/locks/{NAME}0",
    f"backups/shop/locks/{NAME.upper()}",
    f"backups/shop/locks/{'/'.join(NAME[n : n + 2] for n in range(0, 62, 3))}",
)


@dataclass
class Store:
    gateway: Gateway
    mine: Any
    keys: Keys
    versions: dict[str, str]

    def at(self, key: str) -> dict[str, str]:
        return {"Bucket": BUCKET, "Key": key, "VersionId": self.versions[key]}


@pytest.fixture(scope="module")
def stored(gateway: Gateway, store: ObjectLockStore, administrator: Any) -> Store:
    """All of it sealed."""
    keys = store.open(TERMS)
    mine = client(gateway.endpoint, keys)
    until = datetime.now(UTC) + timedelta(days=180)
    versions = {}
    for key in (*KEPT, LOCK):
        versions[key] = mine.put_object(Bucket=BUCKET, Key=key, Body=key.encode())["VersionId"]
        administrator.put_object_retention(
            Bucket=BUCKET, Key=key, VersionId=versions[key], Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
        )
    return Store(gateway, mine, keys, versions)


@pytest.fixture(autouse=True)
def nothing_is_lost(stored: Store, administrator: Any) -> Iterator[None]:
    """After each test every version is listed, with its bytes and its date; only the lock file may be hidden."""
    yield
    listed = administrator.get_paginator("list_object_versions").paginate(Bucket=BUCKET).search("Versions[]")
    found = {(each["Key"], each["VersionId"]): each["IsLatest"] for each in listed}
    for key, version in stored.versions.items():
        assert (key, version) in found
        assert found[key, version] or key == LOCK
        assert stored.mine.get_object(**stored.at(key))["Body"].read() == key.encode()
        until = administrator.get_object_retention(**stored.at(key))["Retention"]["RetainUntilDate"]
        assert until > datetime.now(UTC) + timedelta(days=179)


def test_a_lock_file_is_removed_and_its_version_stays(stored: Store) -> None:
    stored.mine.delete_object(Bucket=BUCKET, Key=LOCK)
    assert LOCK not in [each["Key"] for each in stored.mine.list_objects_v2(Bucket=BUCKET)["Contents"]]
    markers = stored.mine.list_object_versions(Bucket=BUCKET, Prefix=LOCK)["DeleteMarkers"]
    assert [each["Key"] for each in markers] == [LOCK]
    for version in (markers[0]["VersionId"], stored.versions[LOCK], "null"):
        with pytest.raises(ClientError, match="AccessDenied"):
            stored.mine.delete_object(Bucket=BUCKET, Key=LOCK, VersionId=version)


@pytest.mark.parametrize("key", KEPT)
def test_nothing_else_is_hidden(stored: Store, key: str) -> None:
    with pytest.raises(ClientError, match=f"AccessDenied|{AT_THE_DOOR}"):
        stored.mine.delete_object(Bucket=BUCKET, Key=key)


# 64 characters, though not a digest: only the door knows the difference.
FOR_THE_DOOR = {f"backups/shop/locks/{NAME.upper()}", KEPT[-1]}


@pytest.mark.parametrize("key", [key for key in KEPT if key not in FOR_THE_DOOR])
def test_the_policy_keeps_everything_else_without_the_door_too(stored: Store, key: str) -> None:
    assert delete_behind_the_door(stored.gateway, stored.keys, f"/{BUCKET}/{key}") == 403


def test_the_policy_keeps_versions_without_the_door_too(stored: Store) -> None:
    for version in (stored.versions[LOCK], "null"):
        assert delete_behind_the_door(stored.gateway, stored.keys, f"/{BUCKET}/{LOCK}?versionId={version}") == 403


SPELLINGS = (
    f"backups/shop/locks/../data/01/{NAME}",
    f"backups/shop/locks/..%2fdata%2f01%2f{NAME}",
    f"backups/shop/locks%2f..%2fdata/01/{NAME}",
    f"backups/shop/locks/%2e%2e/data/01/{NAME}",
    f"backups/shop/locks/{NAME}/../../data/01/{NAME}",
    f"backups/x/locks/../../shop/data/01/{NAME}",
    f"backups/shop/locks//{NAME}",
    f"backups/shop/locks/./{NAME}",
    f"backups/shop//locks/{NAME}",
    f"x/../backups/shop/locks/{NAME}",
    f"backups/shop/locks/{NAME}/",
    f"backups/../backups/shop/locks/{NAME}",
    f"../{BUCKET}/{LOCK}",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_spelling_is_refused(stored: Store, spelling: str) -> None:
    for key in (spelling, spelling.replace("%2f", "/").replace("%2e", ".")):
        with pytest.raises(ClientError, match=f"AccessDenied|{AT_THE_DOOR}"):
            stored.mine.delete_object(Bucket=BUCKET, Key=key)
        for version in ({}, {"VersionId": stored.versions[LOCK]}):
            with pytest.raises(ClientError, match=AT_THE_DOOR):
                stored.mine.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} | version]})
    with pytest.raises(StoreError, match=r"40[03]"):
        _signed(stored, spelling)


def _signed(stored: Store, path: str, query: str = "") -> None:
    """A deletion of exactly this path, which the client library would encode once more."""
    signed(Scene(stored.gateway, LOCK, "", stored.mine, None, None, stored.keys), "DELETE", query, path)


@pytest.mark.parametrize(
    "query", ["versionId={}", "%76ersionId={}", "versionId=&versionId={}", "versionId={}&versionId=", "versionId"]
)
def test_a_version_is_not_deleted_however_it_is_named(stored: Store, query: str) -> None:
    with pytest.raises(StoreError, match=r"40[03]"):
        _signed(stored, LOCK, query.format(stored.versions[LOCK]))


def test_an_old_account_gets_the_permission_with_the_next_change(
    stored: Store, store: ObjectLockStore, administrator: Any
) -> None:
    before = policy(BUCKET)
    before["Statement"].pop()
    administrator.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(before))
    with pytest.raises(ClientError, match="AccessDenied"):
        stored.mine.delete_object(Bucket=BUCKET, Key=LOCK)
    assert not store.admits(TERMS, stored.keys)
    administrator.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy(BUCKET)))
    assert store.admits(TERMS, stored.keys)


def _together(*acts: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(acts)) as threads:
        return [each.result() for each in [threads.submit(act) for act in acts]]


def test_what_is_written_while_it_is_removed_is_not_lost(stored: Store, administrator: Any) -> None:
    """versitygw 1.8.0 removes in steps, without its lock: a tenth of them was gone without the queue of the door."""
    writers = [client(stored.gateway.endpoint, stored.keys) for _ in range(2)]
    removers = [client(stored.gateway.endpoint, stored.keys) for _ in range(2)]
    for n in range(40):
        where = {"Bucket": BUCKET, "Key": f"backups/shop/locks/{n:064x}"}
        first = writers[0].put_object(**where, Body=b"first")["VersionId"]
        until = datetime.now(UTC) + timedelta(days=180)
        administrator.put_object_retention(
            **where, VersionId=first, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
        )
        write = [partial(s3.put_object, **where, Body=b"then") for s3 in writers]
        remove = [partial(s3.delete_object, **where) for s3 in removers]
        written = [answer["VersionId"] for answer in _together(*write, *remove)[:2]]
        for version in written:
            assert administrator.get_object(**where, VersionId=version)["Body"].read() == b"then"
        assert administrator.get_object(**where, VersionId=first)["Body"].read() == b"first"
        assert administrator.get_object_retention(**where, VersionId=first)["Retention"]["Mode"] == "COMPLIANCE"


def test_a_large_lock_file_is_refused(stored: Store) -> None:
    """It would keep the others waiting."""
    with pytest.raises(ClientError, match=AT_THE_DOOR):
        stored.mine.put_object(Bucket=BUCKET, Key=f"backups/shop/locks/{'f' * 64}", Body=b"x" * 8193)
