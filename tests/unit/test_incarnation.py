"""What a stack consisted of is found and recorded beside an object that the store has damaged, and not when the store
is down."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    FlexibleChecksumError,
    ResponseStreamingError,
)

from components import incarnation, object_lock_keys
from components.account_place import AccountError, DamagedError, First
from components.azure_container import AzureContainer
from components.bucket import Bucket
from components.incarnation import newest_of, record
from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import Keys, StoreError

KEY = "the-customers-own"
ADDRESS = "http://127.0.0.1:9"


def refused(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")


def flipped() -> Any:
    return FlexibleChecksumError(error_msg="Expected checksum AAAAAA== did not match calculated checksum: BBBBBB==")


def unreachable() -> Any:
    return EndpointConnectionError(endpoint_url=f"{ADDRESS}/stele-acme?versions")


DAMAGE = [
    flipped,
    lambda: refused("InternalError", 500),
    lambda: refused("NoSuchVersion", 404),
    lambda: ResponseStreamingError(error="Connection broken"),
]


class Store:
    """The few calls of an S3 client, with every version of every key; ``wrong``: what reading a key's first version
    raises; ``down``: what a list does."""

    def __init__(self) -> None:
        self.clock = datetime(2026, 11, 26, 2, tzinfo=UTC)
        self.objects: dict[str, list[tuple[bytes, datetime]]] = {}
        self.wrong: dict[str, Callable[[], Exception]] = {}
        self.down: Exception | None = None
        self.fails_to_read: Callable[[], Exception] | None = None

    def put_object(self, **what: Any) -> None:
        if what["Key"] in self.objects:
            raise refused("PreconditionFailed", 412)
        self.add(what["Key"], what["Body"])

    def add(self, key: str, body: bytes) -> None:
        self.objects.setdefault(key, []).append((body, self.clock))

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **where: str) -> list[dict[str, Any]]:
        if self.down:
            raise self.down
        found = [
            {"Key": key, "VersionId": str(number), "LastModified": written, "Size": len(body)}
            for key, versions in self.objects.items()
            if key.startswith(where["Prefix"])
            for number, (body, written) in reversed([*enumerate(versions)])
        ]
        return [{"Versions": found}]

    def get_object(self, **where: str) -> dict[str, Any]:
        wrong = self.fails_to_read or (self.wrong.get(where["Key"]) if where["VersionId"] == "0" else None)
        if wrong:
            raise wrong()
        return {"Body": io.BytesIO(self.objects[where["Key"]][int(where["VersionId"])][0])}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(object_lock_keys, "client", lambda *_: store)

    class Clock(datetime):
        @classmethod
        def now(cls, _: Any = None) -> datetime:  # type: ignore[override]
            return store.clock

    monkeypatch.setattr(incarnation, "datetime", Clock)
    return store


@pytest.fixture
def account(store: Store) -> Bucket:
    return Bucket(ADDRESS, "stele-acme", "stele-acme", "the-accounts-secret")


def of(version: str) -> dict[str, Any]:
    return {"stack": "acme", "version": version, "settings": {}}


def recorded(account: Bucket, store: Store, version: str) -> str:
    """A minute later; its key."""
    store.clock += timedelta(minutes=1)
    return record(account, of(version), KEY)


def newest(account: Bucket) -> str:
    found = newest_of(account, "acme", KEY)
    return str(found[1]["version"]) if found else ""


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_is_passed_over(account: Bucket, store: Store, damage: Callable[[], Exception]) -> None:
    recorded(account, store, "1")
    store.wrong[recorded(account, store, "2")] = damage
    assert newest(account) == "1"


def test_of_a_damaged_one_no_later_version_counts(account: Bucket, store: Store) -> None:
    recorded(account, store, "1")
    key = recorded(account, store, "2")
    store.wrong[key] = flipped
    store.add(key, store.objects[key][0][0])  # by whoever has the account's keys
    assert newest(account) == "1"


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("version", ["1", "2", "3"])
def test_what_comes_after_a_damaged_one_is_recorded_anew(
    account: Bucket, store: Store, damage: Callable[[], Exception], version: str
) -> None:
    before = [recorded(account, store, "1"), recorded(account, store, "2")]
    store.wrong[before[-1]] = damage
    key = recorded(account, store, version)
    assert key not in before
    assert newest(account) == version
    assert recorded(account, store, version) == key  # from then on it is as if nothing had been


def test_where_all_are_damaged_the_stack_is_recorded_anew(account: Bucket, store: Store) -> None:
    store.wrong[recorded(account, store, "1")] = flipped
    assert newest(account) == ""
    recorded(account, store, "1")
    assert newest(account) == "1"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (unreachable, "the store does not answer"),
        (lambda: refused("InvalidAccessKeyId", 403), "gives the account new keys"),
        (lambda: refused("SignatureDoesNotMatch", 403), "gives the account new keys"),
        (lambda: refused("AccessDenied", 403), "gives the account new keys"),
        (lambda: refused("SlowDown", 503), "the store failed"),
    ],
)
def test_a_store_that_is_down_or_refuses_is_no_damage(
    account: Bucket, store: Store, wrong: Callable[[], Exception], told: str
) -> None:
    recorded(account, store, "1")
    store.wrong[recorded(account, store, "2")] = wrong
    with pytest.raises(AccountError, match=told):
        newest(account)
    with pytest.raises(AccountError, match=told):
        recorded(account, store, "3")


def test_a_store_that_fails_as_a_whole_is_no_damage(account: Bucket, store: Store) -> None:
    """Between the list and the reading it began to fail at everything."""
    recorded(account, store, "1")
    key = recorded(account, store, "2")

    def failing() -> Exception:
        store.down = refused("InternalError", 500)
        return store.down

    store.wrong[key] = failing
    with pytest.raises(AccountError, match="InternalError: the store failed") as told:
        newest(account)
    assert not isinstance(told.value, DamagedError)


def test_what_was_recorded_and_cannot_be_read_back_is_told(account: Bucket, store: Store) -> None:
    store.fails_to_read = lambda: refused("InternalError", 500)
    with pytest.raises(DamagedError, match=r"acme/incarnations/.*\.json: the store cannot read it \(InternalError\)"):
        recorded(account, store, "1")


class Container:
    """An Azure container that answers a download with what it is told to."""

    def __init__(self, answer: Exception) -> None:
        self.answer = answer

    def download_blob(self, *_: Any, **__: Any) -> Any:
        raise self.answer


def answered(kind: type[HttpResponseError], status: int, code: str) -> HttpResponseError:
    error = kind(code)
    error.status_code, error.error_code = status, code  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("answer", "damaged"),
    [
        (answered(HttpResponseError, 500, "InternalError"), True),
        (answered(ResourceNotFoundError, 404, "BlobNotFound"), True),
        (answered(ResourceNotFoundError, 404, "ContainerNotFound"), False),
        (answered(ClientAuthenticationError, 403, "AuthenticationFailed"), False),
        (answered(HttpResponseError, 503, "ServerBusy"), False),
    ],
)
def test_azure_tells_one_object_from_the_store(
    monkeypatch: pytest.MonkeyPatch, answer: HttpResponseError, damaged: bool
) -> None:
    monkeypatch.setattr(AzureContainer, "_client", Container(answer))
    place = AzureContainer("https://acme.blob.core.windows.net", "stele-acme")
    with pytest.raises(AccountError) as told:
        place.fetch("key", First("", datetime.now(UTC), 9))
    assert isinstance(told.value, DamagedError) is damaged


def test_an_address_where_nothing_is_is_named_without_what_was_asked_there(account: Bucket, store: Store) -> None:
    store.down = unreachable()
    with pytest.raises(AccountError) as told:
        newest(account)
    line = f"{ADDRESS}: the store does not answer (Could not connect); start it, or mend the address"
    assert str(told.value) == line
    with pytest.raises(StoreError) as told_too:
        ObjectLockStore(ADDRESS, Keys("root", "secret")).open(Terms("acme", 7, locked=False))
    assert str(told_too.value) == line
