"""Which inputs replace a resource when they change, for each type that Stele's program uses.

``identity``: they are part of the resource's path in Azure. ``fixed``: Azure accepts no other value later; as in
provider/pkg/gen/replacement.go of the official plugin, or marked so in Azure's own API specifications. ``kind`` of a
storage account is stricter here: the official plugin plans an update, which Azure then refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.changes import differences
from bridge.detailed import REPLACES


@dataclass(frozen=True)
class Rules:
    """The inputs of one type that replace."""

    identity: frozenset[str]
    fixed: frozenset[str]


def _rules(*identity: str, fixed: tuple[str, ...] = ()) -> Rules:
    return Rules(frozenset(identity), frozenset(fixed))


TYPES = {
    "azure-native:authorization:ManagementLockByScope": _rules("scope", "lockName"),
    "azure-native:authorization:RoleAssignment": _rules("scope", "roleAssignmentName", fixed=("principalId",)),
    "azure-native:authorization:RoleDefinition": _rules("scope", "roleDefinitionId"),
    "azure-native:managedidentity:UserAssignedIdentity": _rules(
        "resourceGroupName", "resourceName", fixed=("location",)
    ),
    "azure-native:monitor:DiagnosticSetting": _rules("resourceUri", "name"),
    "azure-native:operationalinsights:Workspace": _rules("resourceGroupName", "workspaceName", fixed=("location",)),
    "azure-native:resources:ResourceGroup": _rules("resourceGroupName", fixed=("location",)),
    "azure-native:storage:BlobContainer": _rules("resourceGroupName", "accountName", "containerName"),
    "azure-native:storage:BlobServiceProperties": _rules("resourceGroupName", "accountName", "blobServicesName"),
    "azure-native:storage:StorageAccount": _rules(
        "resourceGroupName", "accountName", fixed=("location", "kind", "isHnsEnabled")
    ),
}


@dataclass(frozen=True)
class Plan:
    """``kinds``: property path -> kind of difference. ``replaces``: the inputs that make another resource of it.

    ``delete_first``: it keeps its path in Azure, so there is no room for the new one beside the old.
    """

    kinds: dict[str, int]
    replaces: list[str]
    delete_first: bool


def plan(token: str, old: dict[str, Any], new: dict[str, Any]) -> Plan:
    """What another set of inputs does to a resource."""
    rules = TYPES[token]
    found = differences(_comparable(old), _comparable(new))
    roots = {path: root_of(path) for path in found}
    replaces = sorted({root for root in roots.values() if root in rules.identity | rules.fixed})
    kinds = {path: REPLACES[kind] if roots[path] in replaces else kind for path, kind in found.items()}
    return Plan(kinds, replaces, bool(replaces) and rules.identity.isdisjoint(replaces))


def root_of(path: str) -> str:
    """The input that a property path begins with."""
    return path.split("[", 1)[0].split(".", 1)[0]


def _comparable(inputs: dict[str, Any]) -> dict[str, Any]:
    """Azure knows one region as `West Europe` and as `westeurope`."""
    location = inputs.get("location")
    return {**inputs, "location": location.replace(" ", "").lower()} if isinstance(location, str) else inputs
