"""The offline `azure-native` plugin: what it finds wrong, what it replaces, and that it does nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .plugin import Json, Plugin, RefusedError
from .samples import urn

ACCOUNT = "azure-native:storage:StorageAccount"
INSTALL = "pulumi plugin install resource azure-native v3"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    plugin = Plugin("azure-native")
    yield plugin
    plugin.close()


def account(**changes: Any) -> Json:
    """The inputs of a storage account with some of them changed; None takes one away."""
    given = {
        "resourceGroupName": "stele-acme",
        "accountName": "steleacme",
        "location": "westeurope",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "allowSharedKeyAccess": False,
        "immutableStorageWithVersioning": {
            "enabled": True,
            "immutabilityPolicy": {"immutabilityPeriodSinceCreationInDays": 180, "state": "Unlocked"},
        },
        "tags": {"owner": "acme"},
    } | changes
    return {name: value for name, value in given.items() if value is not None}


def failures(plugin: Plugin, token: str, given: Json) -> dict[str, str]:
    answer = plugin.call("Check", {"urn": urn(token, "x"), "news": given})
    return {failure["property"]: failure["reason"] for failure in answer.get("failures", [])}


def diff(plugin: Plugin, token: str, old: Json, new: Json, **more: Any) -> Json:
    request = {"urn": urn(token, "x"), "id": "/x", "olds": old, "oldInputs": old, "news": new, **more}
    return plugin.call("Diff", request)


def test_inputs_that_are_right_pass_as_they_are(plugin: Plugin) -> None:
    answer = plugin.call("Check", {"urn": urn(ACCOUNT, "x"), "news": account(resourceGroupName=UNKNOWN)})
    assert answer == {"inputs": account(resourceGroupName=UNKNOWN)}


@pytest.mark.parametrize(
    ("token", "given", "name", "reason"),
    [
        (ACCOUNT, account(sku=None), "sku", "missing required property 'sku'"),
        (ACCOUNT, account(sku={}), "sku.name", "missing required property 'sku.name'"),
        (ACCOUNT, account(kind=None), "kind", "missing required property 'kind'"),
        (ACCOUNT, account(allowSharedKeyAccess="no"), "allowSharedKeyAccess", "must be a boolean"),
        (
            ACCOUNT,
            account(
                immutableStorageWithVersioning={"immutabilityPolicy": {"immutabilityPeriodSinceCreationInDays": "9"}}
            ),
            "immutableStorageWithVersioning.immutabilityPolicy.immutabilityPeriodSinceCreationInDays",
            "must be a number",
        ),
        (ACCOUNT, account(tags={"owner": 1}), "tags[owner]", "must be a string"),
        (ACCOUNT, account(colour="red"), "colour", "unknown property 'colour'"),
        (
            "azure-native:authorization:RoleAssignment",
            {"principalId": "p", "scope": "s"},
            "roleDefinitionId",
            "missing",
        ),
        (
            "azure-native:authorization:RoleDefinition",
            {"scope": "s", "permissions": [{"dataActions": "all"}]},
            "permissions[0].dataActions",
            "must be a list",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_property(
    plugin: Plugin, token: str, given: Json, name: str, reason: str
) -> None:
    found = failures(plugin, token, given)
    assert list(found) == [name]
    assert reason in found[name]


@pytest.mark.parametrize(
    ("changes", "replaced", "delete_first"),
    [
        ({"accountName": "steleother"}, ["accountName"], False),
        ({"resourceGroupName": "other"}, ["resourceGroupName"], False),
        ({"location": "northeurope"}, ["location"], True),
        ({"location": "northeurope", "accountName": "steleother"}, ["accountName", "location"], False),
        ({"kind": "BlobStorage"}, ["kind"], True),
    ],
)
def test_what_azure_cannot_change_replaces(
    plugin: Plugin, changes: Json, replaced: list[str], delete_first: bool
) -> None:
    answer = diff(plugin, ACCOUNT, account(), account(**changes))
    assert answer["replaces"] == replaced
    assert answer.get("deleteBeforeReplace", False) is delete_first
    assert {name: entry["kind"] for name, entry in answer["detailedDiff"].items()} == dict.fromkeys(
        replaced, "UPDATE_REPLACE"
    )


def test_a_role_assignment_for_another_identity_is_another_one(plugin: Plugin) -> None:
    given = {"principalId": "p", "roleDefinitionId": "r", "scope": "s", "roleAssignmentName": "n"}
    token = "azure-native:authorization:RoleAssignment"
    assert diff(plugin, token, given, given | {"principalId": "q"})["replaces"] == ["principalId"]
    assert "replaces" not in diff(plugin, token, given, given | {"description": "d"})


def test_locking_and_prolonging_change_the_account_in_place(plugin: Plugin) -> None:
    policy = {"immutabilityPeriodSinceCreationInDays": 365, "state": "Locked"}
    new = account(immutableStorageWithVersioning={"enabled": True, "immutabilityPolicy": policy})
    answer = diff(plugin, ACCOUNT, account(), new)
    assert "replaces" not in answer
    root = "immutableStorageWithVersioning.immutabilityPolicy"
    assert {name: entry["kind"] for name, entry in answer["detailedDiff"].items()} == {
        f"{root}.immutabilityPeriodSinceCreationInDays": "UPDATE",
        f"{root}.state": "UPDATE",
    }


def test_nothing_changes_by_another_spelling_of_the_region(plugin: Plugin) -> None:
    assert diff(plugin, ACCOUNT, account(), account(location="West Europe"))["changes"] == "DIFF_NONE"


def test_ignored_changes_change_nothing(plugin: Plugin) -> None:
    answer = diff(plugin, ACCOUNT, account(), account(location="northeurope"), ignoreChanges=["location"])
    assert answer["changes"] == "DIFF_NONE"


def test_a_preview_shows_what_was_asked_for(plugin: Plugin) -> None:
    created = plugin.call("Create", {"urn": urn(ACCOUNT, "x"), "properties": account(), "preview": True})
    assert created == {"properties": account()}
    old = account() | {"name": "steleacme"}
    request = {"urn": urn(ACCOUNT, "x"), "id": "/x", "olds": old, "news": account(kind="Storage"), "preview": True}
    assert plugin.call("Update", request) == {"properties": old | {"kind": "Storage"}}


@pytest.mark.parametrize("method", ["Create", "Update", "Read", "Delete"])
def test_everything_else_names_the_official_plugin(plugin: Plugin, method: str) -> None:
    with pytest.raises(RefusedError, match=INSTALL) as refused:
        plugin.call(method, {"urn": urn(ACCOUNT, "x")})
    assert ACCOUNT in refused.value.text
    assert "\n" not in refused.value.text
