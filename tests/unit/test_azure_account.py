"""A storage stack in Azure: nothing in it is open, nothing goes early, and a lock takes two `up`s."""

from __future__ import annotations

from typing import Any

import pytest

from components.azure_account import BLOBS, CONTAINERS
from components.settings import SettingsError, parse
from components.storage_settings import AzureSettings
from components.worm_storage import WormStorage
from tests.unit.conftest import Declare, Recorder

PROD = {"kind": "storage", "backend": "azure", "customer": "acme", "location": "westeurope"}
POLICY = ("immutableStorageWithVersioning", "immutabilityPolicy")
# What the stack's outputs say of an account that is there.
UNLOCKED = {"bucket": "stele-acme", "locked": False, "retention": 180}
LOCKED = UNLOCKED | {"locked": True}


def settings(**changes: str) -> AzureSettings:
    found = parse(PROD | changes, defaults={})
    assert isinstance(found, AzureSettings)
    return found


def up(declare: Declare, before: dict[str, Any] | None = None, **changes: str) -> tuple[Recorder, dict[str, Any]]:
    recorder, outputs = declare(lambda: WormStorage("acme", settings(**changes)), before)
    return recorder, outputs


def account(recorder: Recorder, name: str = "acme-account") -> dict[str, Any]:
    return recorder.of_type("storage:StorageAccount")[name]


def policy(recorder: Recorder, name: str = "acme-account") -> dict[str, Any]:
    found: dict[str, Any] = account(recorder, name)[POLICY[0]][POLICY[1]]
    return found


def test_what_is_stored_stays_for_the_retention(declare: Declare) -> None:
    recorder, _ = up(declare, retention="365")
    assert account(recorder)[POLICY[0]]["enabled"] is True
    assert policy(recorder) == {
        "immutabilityPeriodSinceCreationInDays": 365,
        "allowProtectedAppendWrites": False,
        "state": "Unlocked",
    }


def test_what_is_replaced_or_deleted_can_be_had_again(declare: Declare) -> None:
    recorder, _ = up(declare)
    service = recorder.of_type("storage:BlobServiceProperties")["acme-blobs"]
    assert service["isVersioningEnabled"] is True
    assert service["deleteRetentionPolicy"] == {"enabled": True, "days": 30}
    assert service["containerDeleteRetentionPolicy"] == {"enabled": True, "days": 30}


def test_there_is_no_way_in_without_an_identity_or_from_outside(declare: Declare) -> None:
    recorder, _ = up(declare)
    asked = account(recorder)
    for switch in (
        "allowSharedKeyAccess",
        "allowBlobPublicAccess",
        "allowCrossTenantReplication",
        "isLocalUserEnabled",
    ):
        assert asked[switch] is False, switch
    assert asked["publicNetworkAccess"] == "Disabled"
    assert asked["networkRuleSet"] == {"defaultAction": "Deny", "bypass": "None"}
    assert (asked["enableHttpsTrafficOnly"], asked["minimumTlsVersion"]) == (True, "TLS1_2")
    assert recorder.of_type("storage:BlobContainer")["acme-container"]["publicAccess"] == "None"


@pytest.mark.parametrize(("redundancy", "sku"), [("local", "Standard_LRS"), ("geo", "Standard_GRS")])
def test_redundancy_is_the_accounts_sku(declare: Declare, redundancy: str, sku: str) -> None:
    recorder, _ = up(declare, redundancy=redundancy)
    assert account(recorder)["sku"] == {"name": sku}


def test_the_customers_identity_adds_and_reads_in_the_container_and_nowhere_else(declare: Declare) -> None:
    recorder, outputs = up(declare)
    (assignment,) = recorder.of_type("authorization:RoleAssignment").values()
    assert assignment["scope"] == "acme-container-id"
    assert assignment["principalId"] == "acme-identity-principal"
    assert assignment["roleDefinitionId"] == "acme-role-id"
    (role,) = recorder.of_type("authorization:RoleDefinition").values()
    (permission,) = role["permissions"]
    names = ("read", "add/action", "write", "delete")
    assert permission == {"actions": [f"{CONTAINERS}/read"], "dataActions": [f"{BLOBS}/{name}" for name in names]}
    hides = f"@Resource[{BLOBS}:path] StringLike 'backups/*/locks/{'?' * 64}'"
    assert assignment["condition"] == f"((!(ActionMatches{{'{BLOBS}/delete'}})) OR ({hides}))"
    assert outputs["client_id"] == "acme-identity-client"


def test_the_account_cannot_be_deleted_by_mistake(declare: Declare) -> None:
    recorder, _ = up(declare)
    (lock,) = recorder.of_type("authorization:ManagementLockByScope").values()
    assert (lock["scope"], lock["level"]) == ("acme-account-id", "CanNotDelete")


@pytest.mark.parametrize(("retention", "kept"), [("7", 30), ("180", 180), ("3650", 730)])
def test_every_access_is_logged_for_as_long_as_azure_keeps_logs(declare: Declare, retention: str, kept: int) -> None:
    recorder, _ = up(declare, retention=retention)
    (logs,) = recorder.of_type("monitor:DiagnosticSetting").values()
    assert logs["resourceUri"] == "acme-account-id/blobServices/default"
    assert logs["workspaceId"] == "acme-workspace-id"
    assert {entry["category"] for entry in logs["logs"] if entry["enabled"]} == {
        "StorageRead",
        "StorageWrite",
        "StorageDelete",
    }
    (workspace,) = recorder.of_type("operationalinsights:Workspace").values()
    assert workspace["retentionInDays"] == kept


def test_the_outputs_are_those_of_any_backend_with_an_identity_for_keys(declare: Declare) -> None:
    _, outputs = up(declare)
    assert outputs == {
        "backend": "azure",
        "endpoint": "https://steleacme.blob.core.windows.net",
        "bucket": "stele-acme",
        "retention": 180,
        "locked": False,
        "client_id": "acme-identity-client",
    }


@pytest.mark.parametrize(
    ("before", "lock", "state"),
    [
        ({}, "false", "Unlocked"),
        ({}, "true", "Unlocked"),
        (UNLOCKED, "false", "Unlocked"),
        (UNLOCKED, "true", "Locked"),
        (LOCKED, "true", "Locked"),
        (LOCKED | {"bucket": "stele-another"}, "true", "Unlocked"),
    ],
)
def test_only_an_account_that_is_there_is_locked_and_only_when_told(
    declare: Declare, before: dict[str, Any], lock: str, state: str
) -> None:
    recorder, outputs = up(declare, before, lock=lock)
    assert policy(recorder)["state"] == state
    assert outputs["locked"] is (state == "Locked")


def test_the_vendors_account_is_one_of_its_own(declare: Declare) -> None:
    recorder, outputs = up(declare, UNLOCKED, vendor="house", lock="true")
    assert account(recorder, "acme-vendor-account")["accountName"] == "stelehouse"
    scopes = {entry["scope"] for entry in recorder.of_type("authorization:RoleAssignment").values()}
    assert scopes == {"acme-container-id", "acme-vendor-container-id"}
    assert outputs["vendor"]["bucket"] == "stele-house"
    # It is new, so that it cannot be locked yet; the customer's is, and can.
    assert policy(recorder)["state"] == "Locked"
    assert policy(recorder, "acme-vendor-account")["state"] == "Unlocked"
    assert (outputs["locked"], outputs["vendor"]["locked"]) == (True, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "stele:lock: 'false' is not allowed; allowed: true; it is locked, which is irreversible"),
        ({"lock": "true", "retention": "179"}, "stele:retention: '179' is not allowed; allowed: 180 or more"),
    ],
)
def test_what_a_lock_forbids_stops_before_anything_is_asked_of_azure(
    declare: Declare, caplog: pytest.LogCaptureFixture, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(SystemExit):
        up(declare, LOCKED, **changes)
    assert said in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backend": "tape"}, "stele:backend: 'tape' is not allowed; allowed: s3 | azure"),
        ({"redundancy": "zone"}, "stele:redundancy: 'zone' is not allowed; allowed: local | geo"),
        ({"location": "West Europe"}, "stele:location: 'West Europe' is not allowed; allowed: an Azure region"),
        ({"endpoint": "http://s3"}, "stele:endpoint: 'http://s3' is not allowed; allowed: nothing with backend azure"),
        ({"backend": "s3"}, "stele:location: 'westeurope' is not allowed; allowed: nothing with backend s3"),
        ({"customer": "acme-of-northern-europe"}, "stele:customer: 'acme-of-northern-europe' .* at most 19 letters"),
        ({"vendor": "vendor-of-many-products"}, "stele:vendor: 'vendor-of-many-products' .* at most 19 letters"),
        ({"vendor": "ac-me"}, "stele:vendor: 'ac-me' .* the customer's storage account is steleacme already"),
        ({"version": "1.0.0"}, "stele:version: .*unknown key.*backend, customer, endpoint, kind, location"),
    ],
)
def test_settings_that_are_not_allowed(changes: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=f"^{said}") as refused:
        settings(**changes)
    assert "\n" not in str(refused.value)


def test_a_region_is_required() -> None:
    with pytest.raises(SettingsError, match=r"^stele:location: '\(not set\)'.*pulumi config set location"):
        parse({key: value for key, value in PROD.items() if key != "location"}, defaults={})


def test_the_default_store_is_none_of_azures_business() -> None:
    """`make env` names the local store for every stack."""
    assert parse(PROD, defaults={"endpoint": "http://127.0.0.1:7070"}) == settings()
