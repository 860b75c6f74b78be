"""`pulumi up` of a storage stack: the real CLI, the real program, a real object-lock store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import ADMINISTRATOR_NAMES, Keys, client

from .conftest import Gateway, Project


def keys_of(outputs: dict[str, Any]) -> Keys:
    return Keys(outputs["access_key"], outputs["secret_key"])


def test_the_life_of_a_customers_storage(
    project: Project, gateway: Gateway, store: ObjectLockStore, administrator: Any
) -> None:
    """Installed, unchanged, refreshed, prolonged, locked, and kept from being deleted."""
    done = project.up(customer="life")
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = project.outputs()
    assert store.inspect("life") == Terms("life", 180, locked=False)
    customer = client(outputs["endpoint"], keys_of(outputs))
    customer.put_object(Bucket=outputs["bucket"], Key="k", Body=b"kept")

    for command in (["up", "--skip-preview"], ["refresh", "--skip-preview"]):
        again = project.pulumi(*command, "--yes", "--expect-no-changes")
        assert again.returncode == 0, again.stdout + again.stderr

    longer = project.up(retention="365", lock="true")
    assert longer.returncode == 0, longer.stdout + longer.stderr
    assert store.inspect("life") == Terms("life", 365, locked=True)
    assert keys_of(project.outputs()) == keys_of(outputs)

    for settings, said in [
        ({"retention": "30"}, "retention: 30 is not allowed; it is locked: 365 or more"),
        ({"retention": "365", "lock": "false"}, "locked: false is not allowed; it is locked, which is irreversible"),
    ]:
        refused = project.up(**settings)
        assert refused.returncode != 0
        assert said in refused.stdout + refused.stderr
        assert store.inspect("life") == Terms("life", 365, locked=True)

    until = datetime.now(UTC) + timedelta(days=365)
    administrator.put_object_retention(
        Bucket=outputs["bucket"], Key="k", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
    )
    destroyed = project.pulumi("destroy", "--yes", "--skip-preview")
    assert destroyed.returncode != 0
    assert f"1 object versions are retained until {until:%Y-%m-%d %H:%M} UTC" in destroyed.stdout + destroyed.stderr
    assert customer.get_object(Bucket=outputs["bucket"], Key="k")["Body"].read() == b"kept"


def test_another_address_of_the_same_store_keeps_the_account(project: Project, gateway: Gateway) -> None:
    assert project.up(customer="renamed").returncode == 0
    before = project.outputs()
    done = project.up(endpoint=f"http://localhost:{gateway.port}")
    assert done.returncode == 0, done.stdout + done.stderr
    after = project.outputs()
    assert after["endpoint"] == f"http://localhost:{gateway.port}"
    assert keys_of(after) == keys_of(before)
    client(after["endpoint"], keys_of(after)).put_object(Bucket=after["bucket"], Key="k", Body=b"")


def test_what_was_changed_by_hand_is_mended_after_a_refresh(
    project: Project, gateway: Gateway, administrator: Any
) -> None:
    assert project.up(customer="mended").returncode == 0
    administrator.delete_bucket_policy(Bucket="stele-mended")
    assert project.pulumi("refresh", "--yes", "--skip-preview").returncode == 0
    assert project.up().returncode == 0
    outputs = project.outputs()
    client(gateway.endpoint, keys_of(outputs)).put_object(Bucket=outputs["bucket"], Key="k", Body=b"")


def test_an_empty_storage_is_destroyed(project: Project, store: ObjectLockStore) -> None:
    assert project.up(customer="empty").returncode == 0
    destroyed = project.pulumi("destroy", "--yes", "--skip-preview")
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    assert store.inspect("empty") is None


def test_a_lost_state_adopts_what_is_there(project: Project, gateway: Gateway) -> None:
    """The customer's objects are there again, under new keys."""
    assert project.up(customer="lost").returncode == 0
    outputs = project.outputs()
    client(gateway.endpoint, keys_of(outputs)).put_object(Bucket=outputs["bucket"], Key="k", Body=b"kept")
    assert project.pulumi("stack", "rm", "--yes", "--force", "--preserve-config").returncode == 0
    assert project.pulumi("stack", "init", "--no-select").returncode == 0
    done = project.up()
    assert done.returncode == 0, done.stdout + done.stderr
    found = client(gateway.endpoint, keys_of(project.outputs()))
    assert found.get_object(Bucket=outputs["bucket"], Key="k")["Body"].read() == b"kept"


def test_the_administrators_keys_are_nowhere_in_the_state(project: Project) -> None:
    assert project.up(customer="discreet").returncode == 0
    state = project.pulumi("stack", "export", "--show-secrets").stdout
    assert "stele-discreet" in state
    for name in ADMINISTRATOR_NAMES:
        assert name not in state
    assert "administrators-secret-key" not in state
    assert keys_of(project.outputs()).secret not in project.pulumi("stack", "export").stdout


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "stele:customer: '(not set)' is not allowed"),
        ({"customer": "No"}, "stele:customer: 'No' is not allowed; allowed: 3 to 52 lower-case letters"),
        ({"customer": "acme", "retention": "0"}, "stele:retention: '0' is not allowed; allowed: a whole number from 1"),
        ({"customer": "acme", "lock": "yes"}, "stele:lock: 'yes' is not allowed; allowed: true | false"),
        ({"customer": "acme", "endpoint": "s3"}, "stele:endpoint: 's3' is not allowed; allowed: the address of an S3"),
        ({"customer": "acme", "version": "1.0.0"}, "stele:version: '(unknown key)' is not allowed; allowed: backend"),
        ({"customer": "acme", "endpoint": "http://127.0.0.1:9"}, "http://127.0.0.1:9: the store does not answer"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    project: Project, store: ObjectLockStore, settings: dict[str, str], said: str
) -> None:
    refused = project.up(**settings)
    assert refused.returncode != 0
    assert said in refused.stdout + refused.stderr
    assert store.inspect("acme") is None


def test_missing_administrators_keys_are_named(project: Project) -> None:
    project.env["STELE_STORE_ADMIN"] = "/nowhere"
    refused = project.up(customer="acme")
    assert refused.returncode != 0
    assert "STELE_STORE_ADMIN=/nowhere: No such file or directory" in refused.stdout + refused.stderr
