"""Account, lock, door and sealer together: what a customer stores is dated without him, and the lock makes it firm."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sealer import Log, Sealer

from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import StoreError, client
from tests.platform.machine import eventually

from .conftest import ADMINISTRATOR, ROOT, Gateway, free_port


@pytest.fixture
def sealer(gateway: Gateway) -> Iterator[None]:
    """The platform's sealer beside the store."""
    command = [sys.executable, "-I", str(ROOT / "platform" / "sealer.py"), gateway.endpoint]
    command += [str(gateway.folder / "access.log"), str(gateway.folder / "sealer.sock")]
    keys = {"ROOT_ACCESS_KEY_ID": ADMINISTRATOR.access, "ROOT_SECRET_ACCESS_KEY": ADMINISTRATOR.secret}
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"]} | keys)
    yield
    process.kill()
    process.wait()


def retention(administrator: Any, bucket: str, key: str) -> dict[str, Any] | None:
    try:
        return dict(administrator.get_object_retention(Bucket=bucket, Key=key)["Retention"])
    except ClientError:
        return None


def test_what_was_stored_before_the_lock_is_locked_with_it(
    sealer: None, gateway: Gateway, store: ObjectLockStore, administrator: Any
) -> None:
    loose, firm = (Terms("firm", 90, locked=locked) for locked in (False, True))
    keys = store.open(loose)
    customer = client(gateway.endpoint, keys)
    version = customer.put_object(Bucket=loose.bucket, Key="orders/last night", Body=b"kept")["VersionId"]
    eventually(lambda: bool(retention(administrator, loose.bucket, "orders/last night")), "the sealer dates it")
    before = retention(administrator, loose.bucket, "orders/last night")
    assert before is not None
    assert before["Mode"] == "GOVERNANCE"
    assert timedelta(days=89) < before["RetainUntilDate"] - datetime.now(UTC) < timedelta(days=91)

    store.amend(firm)
    assert retention(administrator, loose.bucket, "orders/last night") == before | {"Mode": "COMPLIANCE"}
    with pytest.raises(ClientError, match="object protected by object lock"):
        administrator.delete_object(
            Bucket=firm.bucket, Key="orders/last night", VersionId=version, BypassGovernanceRetention=True
        )
    with pytest.raises(StoreError, match="1 object versions are retained until"):
        store.close("firm")
    assert customer.get_object(Bucket=firm.bucket, Key="orders/last night")["Body"].read() == b"kept"


def test_a_date_that_was_given_in_the_moment_of_the_lock_becomes_firm_too(
    sealer: None, gateway: Gateway, store: ObjectLockStore, administrator: Any
) -> None:
    """The sealer had read the terms before the lock and gave its date after it; it may know the version for sealed."""
    loose, firm = (Terms("moment", 90, locked=locked) for locked in (False, True))
    customer = client(gateway.endpoint, store.open(loose))
    versions = [customer.put_object(Bucket=loose.bucket, Key=key, Body=b"kept")["VersionId"] for key in ("a", "b")]
    eventually(lambda: all(retention(administrator, loose.bucket, key) for key in ("a", "b")), "the sealer dates them")
    swept = Sealer(administrator, Log(gateway.folder / "none"))
    swept.sweep()
    before = {key: retention(administrator, loose.bucket, key) for key in ("a", "b")}
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 90}}}
    administrator.put_object_lock_configuration(Bucket=firm.bucket, ObjectLockConfiguration=rule)

    swept.sweep()
    for key, version in zip(("a", "b"), versions, strict=True):
        assert retention(administrator, firm.bucket, key) == (before[key] or {}) | {"Mode": "COMPLIANCE"}
        with pytest.raises(ClientError, match="object protected by object lock"):
            administrator.delete_object(Bucket=firm.bucket, Key=key, VersionId=version, BypassGovernanceRetention=True)


def test_every_key_that_can_be_written_gets_its_date(
    sealer: None, gateway: Gateway, store: ObjectLockStore, administrator: Any
) -> None:
    terms = Terms("spellings", 90, locked=False)
    customer = client(gateway.endpoint, store.open(terms))
    keys = [
        "a b+c&d=e",
        "Bücher/größer.tar",
        "日本/\U0001f600",
        "x" * 200 + "/" + "y" * 200,
        "%41",
        "a..b/...",
        ".x/~",
        "#1?",
    ]
    for key in keys:
        customer.put_object(Bucket=terms.bucket, Key=key, Body=b"")
    eventually(lambda: all(retention(administrator, terms.bucket, key) for key in keys), "each gets its date")


def test_a_rule_without_a_period_keeps_no_other_bucket_from_being_sealed(
    gateway: Gateway, store: ObjectLockStore, administrator: Any
) -> None:
    """versitygw 1.8.0 takes one, which AWS refuses; the account that has it is mended by its next terms."""
    terms = Terms("period", 90, locked=False)
    customer = client(gateway.endpoint, store.open(terms))
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE"}}}
    administrator.create_bucket(Bucket="a-rule-without-period", ObjectLockEnabledForBucket=True)
    for bucket in ("a-rule-without-period", terms.bucket):
        administrator.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=rule)
        administrator.put_object(Bucket=bucket, Key="k", Body=b"kept")
    sealer = Sealer(administrator, Log(gateway.folder / "none"))
    sealer.sweep()
    assert store.inspect("period") == Terms("period", 1, locked=False)
    store.amend(terms)
    sealer.sweep()
    assert retention(administrator, terms.bucket, "k")
    assert customer.get_object(Bucket=terms.bucket, Key="k")["Body"].read() == b"kept"


def test_a_store_without_a_door_is_refused(gateway: Gateway) -> None:
    """Somebody put the store's own socket on the network."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def pass_on() -> None:
            inner, _ = listener.accept()
            with inner, socket.socket(socket.AF_UNIX) as outer:
                outer.connect(str(gateway.folder / "store.sock"))
                outer.sendall(inner.recv(1 << 16))
                inner.sendall(outer.recv(1 << 16))

        threading.Thread(target=pass_on, daemon=True).start()
        with pytest.raises(StoreError, match="has no door before it"):
            ObjectLockStore(f"http://127.0.0.1:{port}", ADMINISTRATOR).open(Terms("naked", 1, locked=False))


def test_a_store_with_an_older_door_is_refused(tmp_path: Path) -> None:
    """One that lets deletions through whose keys are in the body: an account would rely on a door that is not there."""
    older = Gateway(tmp_path, free_port(), without="METH_POST")
    older.start()
    try:
        with pytest.raises(StoreError, match="has no door before it, or an old one"):
            ObjectLockStore(older.endpoint, ADMINISTRATOR).open(Terms("older", 1, locked=False))
    finally:
        older.kill()
