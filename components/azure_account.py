"""One WORM storage account in Azure: versions that stay, one container, and an identity that may add and read there."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import authorization, managedidentity, monitor, operationalinsights, resources, storage

from components.storage_settings import LOCK_FILES, Backend, Redundancy

SOFT_DELETE = 30  # days that a deleted blob or container can be brought back, once its retention is over
LOG_RETENTION = range(30, 731)  # days that Log Analytics offers
# Names of Azure's role objects are UUIDs; made of the owner's name, they are the same when the state is lost.
ROLES = uuid.UUID("5f0f8b39-39f4-4f0c-9d0b-2c5b1c9f6c1e")
CONTAINERS = "Microsoft.Storage/storageAccounts/blobServices/containers"
BLOBS = f"{CONTAINERS}/blobs"
# What the identity may do, of https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory:
# `add` creates a blob in one request. Larger ones are put together from blocks, which needs `write` (rclone and restic
# do so always); with versioning that adds a version and changes none. Deleting a version, and setting or shortening a
# blob's policy, are actions of their own, which nobody gets here. `delete` hides a blob and keeps its version: restic
# removes its own lock files, or waits long for each, so that much is allowed, for what is named like one.
# `actions`: a plan asks whether the container has immutability.
ACTIONS = (f"{CONTAINERS}/read",)
DATA_ACTIONS = (f"{BLOBS}/read", f"{BLOBS}/add/action", f"{BLOBS}/write", f"{BLOBS}/delete")
ONLY_LOCK_FILES = f"((!(ActionMatches{{'{BLOBS}/delete'}})) OR (@Resource[{BLOBS}:path] StringLike '{LOCK_FILES}'))"


@dataclass(frozen=True, kw_only=True)
class AzureAccountArgs:
    """``owner``: customer or vendor. ``retention`` in days.

    ``locked``: nobody shortens the retention any more; Azure accepts that of an account that is there already.
    ``keep``: neither ``destroy`` nor a change that would replace the account may delete it.
    """

    owner: str
    account_name: str
    location: str
    redundancy: Redundancy
    retention: int
    locked: bool
    keep: bool


class AzureAccount(pulumi.ComponentResource):
    """The account with everything around it, in a resource group of its own.

    ``outputs``: ``backend``, ``endpoint``, ``bucket`` (the container), ``retention`` (days), ``locked`` and
    ``client_id`` of the managed identity that may add and read.
    """

    outputs: dict[str, Any]

    def __init__(self, name: str, args: AzureAccountArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:storage:AzureAccount", name, None, opts)
        self._name, self._args = name, args
        self._kept = pulumi.ResourceOptions(parent=self, protect=args.keep, retain_on_delete=args.keep)
        self._child = pulumi.ResourceOptions(parent=self)
        self._group = resources.ResourceGroup(
            f"{name}-group", resource_group_name=f"stele-{args.owner}", location=args.location, opts=self._kept
        )
        account = self._account()
        container = self._container(account)
        identity, assignment = self._access(container)
        logs = self._logs(account)
        authorization.ManagementLockByScope(
            f"{name}-lock",
            scope=account.id,
            lock_name="stele-no-deletion",
            level=authorization.LockLevel.CAN_NOT_DELETE,
            notes="WORM storage: remove this lock only to destroy its stack.",
            # It forbids to delete what is below the account, role assignments too: made last, it is removed first.
            opts=pulumi.ResourceOptions.merge(self._kept, pulumi.ResourceOptions(depends_on=[assignment, logs])),
        )
        self.outputs = {
            "backend": Backend.AZURE.value,
            "endpoint": account.primary_endpoints.apply(lambda endpoints: endpoints.blob.rstrip("/")),
            "bucket": container.name,
            "retention": args.retention,
            "locked": args.locked,
            "client_id": identity.client_id,
        }
        self.register_outputs(self.outputs)

    def _account(self) -> storage.StorageAccount:
        args = self._args
        geo = args.redundancy is Redundancy.GEO
        states = storage.AccountImmutabilityPolicyState
        return storage.StorageAccount(
            f"{self._name}-account",
            resource_group_name=self._group.name,
            account_name=args.account_name,
            location=args.location,
            kind=storage.Kind.STORAGE_V2,
            sku=storage.SkuArgs(name=storage.SkuName.STANDARD_GRS if geo else storage.SkuName.STANDARD_LRS),
            # At the account, not the container: a container's policy cannot be destroyed by the plugin
            # (https://github.com/pulumi/pulumi-azure-native/issues/2156). A change is for what is written from then on.
            immutable_storage_with_versioning=storage.ImmutableStorageAccountArgs(
                enabled=True,
                immutability_policy=storage.AccountImmutabilityPolicyPropertiesArgs(
                    immutability_period_since_creation_in_days=args.retention,
                    allow_protected_append_writes=False,
                    state=states.LOCKED if args.locked else states.UNLOCKED,
                ),
            ),
            allow_shared_key_access=False,
            allow_blob_public_access=False,
            allow_cross_tenant_replication=False,
            default_to_o_auth_authentication=True,
            enable_https_traffic_only=True,
            is_local_user_enabled=False,  # SFTP users have keys of their own
            minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
            public_network_access=storage.PublicNetworkAccess.DISABLED,
            network_rule_set=storage.NetworkRuleSetArgs(
                default_action=storage.DefaultAction.DENY, bypass=storage.Bypass.NONE
            ),
            opts=self._kept,
        )

    def _container(self, account: storage.StorageAccount) -> storage.BlobContainer:
        deleted = storage.DeleteRetentionPolicyArgs(enabled=True, days=SOFT_DELETE)
        service = storage.BlobServiceProperties(
            f"{self._name}-blobs",
            resource_group_name=self._group.name,
            account_name=account.name,
            blob_services_name="default",
            is_versioning_enabled=True,
            delete_retention_policy=deleted,
            container_delete_retention_policy=deleted,
            opts=self._kept,
        )
        return storage.BlobContainer(
            f"{self._name}-container",
            resource_group_name=self._group.name,
            account_name=account.name,
            container_name=f"stele-{self._args.owner}",
            public_access=storage.PublicAccess.NONE,
            opts=pulumi.ResourceOptions.merge(self._kept, pulumi.ResourceOptions(depends_on=[service])),
        )

    def _access(
        self, container: storage.BlobContainer
    ) -> tuple[managedidentity.UserAssignedIdentity, authorization.RoleAssignment]:
        name, owner = self._name, self._args.owner
        identity = managedidentity.UserAssignedIdentity(
            f"{name}-identity",
            resource_group_name=self._group.name,
            resource_name_=f"stele-{owner}",
            location=self._args.location,
            opts=self._child,
        )
        role = authorization.RoleDefinition(
            f"{name}-role",
            scope=self._group.id,
            role_definition_id=str(uuid.uuid5(ROLES, f"role/{owner}")),
            role_name=f"Stele add and read ({owner})",
            role_type="CustomRole",
            description="Adds and reads blobs; cannot delete versions, nor set or shorten how long they stay.",
            assignable_scopes=[self._group.id],
            permissions=[authorization.PermissionArgs(actions=list(ACTIONS), data_actions=list(DATA_ACTIONS))],
            opts=self._child,
        )
        assignment = authorization.RoleAssignment(
            f"{name}-assignment",
            scope=container.id,
            role_assignment_name=str(uuid.uuid5(ROLES, f"assignment/{owner}")),
            role_definition_id=role.id,
            principal_id=identity.principal_id,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            condition=ONLY_LOCK_FILES,
            condition_version="2.0",
            opts=self._child,
        )
        return identity, assignment

    def _logs(self, account: storage.StorageAccount) -> monitor.DiagnosticSetting:
        workspace = operationalinsights.Workspace(
            f"{self._name}-workspace",
            resource_group_name=self._group.name,
            workspace_name=f"stele-{self._args.owner}",
            location=self._args.location,
            # Who did what stays as long as what it was done to, as far as Azure offers that.
            retention_in_days=min(max(self._args.retention, LOG_RETENTION.start), LOG_RETENTION.stop - 1),
            sku=operationalinsights.WorkspaceSkuArgs(name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018),
            opts=self._child,
        )
        return monitor.DiagnosticSetting(
            f"{self._name}-logs",
            name="stele",
            resource_uri=pulumi.Output.concat(account.id, "/blobServices/default"),
            workspace_id=workspace.id,
            logs=[
                monitor.DiagnosticsLogSettingsArgs(category=category, enabled=True)
                for category in ("StorageRead", "StorageWrite", "StorageDelete")
            ],
            opts=self._child,
        )
