"""Opening, changing and closing a customer's account, on a real object-lock store."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import Keys, StoreError, client, code

from .conftest import ADMINISTRATOR, Gateway, free_port


def test_an_account_opens_adds_reads_and_closes(gateway: Gateway, store: ObjectLockStore) -> None:
    terms = Terms("acme", 180, locked=False)
    keys = store.open(terms)
    customer = client(gateway.endpoint, keys)
    assert store.inspect("acme") == terms
    assert customer.get_object_lock_configuration(Bucket=terms.bucket)["ObjectLockConfiguration"]["Rule"] == {
        "DefaultRetention": {"Mode": "GOVERNANCE", "Days": 180}
    }
    store.close("acme")
    assert store.inspect("acme") is None
    with pytest.raises(ClientError) as refused:
        customer.list_objects_v2(Bucket=terms.bucket)
    assert code(refused.value) == "InvalidAccessKeyId"
    store.close("acme")  # again: nothing to do


def test_opening_again_adopts_what_is_there_and_withdraws_the_old_keys(
    gateway: Gateway, store: ObjectLockStore
) -> None:
    terms = Terms("adopted", 1, locked=True)
    old = store.open(terms)
    client(gateway.endpoint, old).put_object(Bucket=terms.bucket, Key="k", Body=b"kept")
    new = store.open(terms)
    assert client(gateway.endpoint, new).get_object(Bucket=terms.bucket, Key="k")["Body"].read() == b"kept"
    with pytest.raises(ClientError) as refused:
        client(gateway.endpoint, old).get_object(Bucket=terms.bucket, Key="k")
    assert code(refused.value) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("done", ["create_bucket", "put_bucket_tagging", "put_object_lock_configuration"])
def test_an_opening_that_was_cut_off_is_completed(
    gateway: Gateway, store: ObjectLockStore, administrator: Any, done: str
) -> None:
    """After each step that a killed `up` may have done last, the same call again leads to the same account."""
    terms = Terms(f"cut-{done.replace('_', '-')}", 7, locked=False)
    administrator.create_bucket(Bucket=terms.bucket, ObjectLockEnabledForBucket=True)
    if done != "create_bucket":
        tags = {"TagSet": [{"Key": "stele.customer", "Value": terms.customer}]}
        administrator.put_bucket_tagging(Bucket=terms.bucket, Tagging=tags)
    if done == "put_object_lock_configuration":
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 7}}
        administrator.put_object_lock_configuration(
            Bucket=terms.bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
    keys = store.open(terms)
    assert store.inspect(terms.customer) == terms
    client(gateway.endpoint, keys).put_object(Bucket=terms.bucket, Key="k", Body=b"")


def test_retention_grows_and_the_lock_is_irreversible(store: ObjectLockStore) -> None:
    store.open(Terms("growing", 30, locked=False))
    store.amend(Terms("growing", 10, locked=False))
    store.amend(Terms("growing", 90, locked=True))
    assert store.inspect("growing") == Terms("growing", 90, locked=True)
    store.amend(Terms("growing", 180, locked=True))
    for wanted, said in [
        (Terms("growing", 90, locked=True), "retention: 90 is not allowed; it is locked: 180 or more"),
        (Terms("growing", 180, locked=False), "locked: false is not allowed; it is locked, which is irreversible"),
    ]:
        for change in (store.amend, store.open):
            with pytest.raises(StoreError, match=said):
                change(wanted)
    assert store.inspect("growing") == Terms("growing", 180, locked=True)


def test_an_account_with_retained_objects_says_when_it_can_be_deleted(
    gateway: Gateway, store: ObjectLockStore, administrator: Any
) -> None:
    terms = Terms("retained", 1, locked=True)
    customer = client(gateway.endpoint, store.open(terms))
    customer.put_object(Bucket=terms.bucket, Key="k", Body=b"kept")
    until = datetime.now(UTC) + timedelta(days=3)
    administrator.put_object_retention(
        Bucket=terms.bucket, Key="k", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
    )
    with pytest.raises(StoreError, match=f"1 object versions are retained until {until:%Y-%m-%d %H:%M} UTC"):
        store.close("retained")
    assert customer.get_object(Bucket=terms.bucket, Key="k")["Body"].read() == b"kept"


def test_a_bucket_that_is_not_ours_or_protects_nothing_is_not_taken_over(
    store: ObjectLockStore, administrator: Any
) -> None:
    administrator.create_bucket(Bucket="stele-plain")
    with pytest.raises(StoreError, match="stele-plain: has no object lock, so it protects nothing"):
        store.open(Terms("plain", 1, locked=False))
    administrator.create_bucket(Bucket="stele-foreign", ObjectLockEnabledForBucket=True)
    administrator.put_bucket_tagging(
        Bucket="stele-foreign", Tagging={"TagSet": [{"Key": "stele.customer", "Value": "another"}]}
    )
    with pytest.raises(StoreError, match="stele-foreign: belongs to another"):
        store.open(Terms("foreign", 1, locked=False))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"customer": "A"}, "customer: 'A' is not allowed"),
        ({"retention": 0}, "retention: 0 is not allowed; allowed: whole days from 1 to 36500"),
        ({"retention": 36_501}, "retention: 36501 is not allowed"),
    ],
)
def test_bad_terms_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        dataclasses.replace(Terms("acme", 180, locked=False), **values)


def test_what_is_wrong_with_the_store_or_the_keys_is_one_line(gateway: Gateway) -> None:
    terms = Terms("acme", 1, locked=False)
    nowhere = f"http://127.0.0.1:{free_port()}"
    for endpoint, keys, said in [
        (nowhere, ADMINISTRATOR, "the store does not answer"),
        (gateway.endpoint, Keys("nobody", "x" * 20), "the administrator's access key is unknown to this store"),
        (gateway.endpoint, Keys(ADMINISTRATOR.access, "x" * 20), "the administrator's secret key is wrong"),
    ]:
        with pytest.raises(StoreError, match=f"{endpoint}: {said}") as refused:
            ObjectLockStore(endpoint, keys).open(terms)
        assert "\n" not in str(refused.value)


def test_what_has_no_date_yet_is_kept_from_deletion_too(gateway: Gateway, store: ObjectLockStore) -> None:
    """The sealer has not come by, or the rule that protects it so far is older than its days."""
    terms = Terms("undated", 30, locked=False)
    customer = client(gateway.endpoint, store.open(terms))
    customer.put_object(Bucket=terms.bucket, Key="k", Body=b"kept")
    with pytest.raises(StoreError, match="1 object versions are retained until"):
        store.close("undated")
    assert customer.get_object(Bucket=terms.bucket, Key="k")["Body"].read() == b"kept"


def test_a_deletion_that_was_cut_off_withdraws_the_keys(
    gateway: Gateway, store: ObjectLockStore, administrator: Any
) -> None:
    terms = Terms("half-closed", 30, locked=False)
    keys = store.open(terms)
    administrator.delete_bucket(Bucket=terms.bucket)
    store.close("half-closed")
    with pytest.raises(ClientError) as refused:
        client(gateway.endpoint, keys).list_buckets()
    assert code(refused.value) == "InvalidAccessKeyId"


def test_what_was_changed_by_hand_is_noticed(gateway: Gateway, store: ObjectLockStore, administrator: Any) -> None:
    terms = Terms("drifting", 30, locked=False)
    keys = store.open(terms)
    assert store.admits(terms, keys)
    assert not store.admits(terms, Keys(keys.access, "another"))
    administrator.delete_bucket_policy(Bucket=terms.bucket)
    assert not store.admits(terms, keys)
    assert store.admits(terms, store.open(terms))


def test_this_users_own_cloud_settings_do_not_matter(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    store, terms = ObjectLockStore(gateway.endpoint, ADMINISTRATOR), Terms("own-settings", 1, locked=False)
    assert store.admits(terms, store.open(terms))
