"""The task runner of one stack: what is empty is loaded, the data is migrated, every night is backed up and verified.

Nothing else starts before it has loaded and migrated. So one `pulumi up` is a new installation, an update, a move or
disaster recovery: they differ in what the runner finds (runtimes/task-runner/runner/load.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pulumi
import pulumi_command as command

from components.backup_status import Status
from components.boundary import CHECKOUT
from components.immutable_service import ImmutableService, ImmutableServiceArgs
from components.manifest import RuntimeRelease
from components.settings import EnvironmentSettings, SettingsError
from components.storage_reference import Account
from components.storage_settings import Backend
from components.swarm import Mount

PLAN_FILE = "/etc/stele/backup.json"
VOLUMES = "/data/volumes"  # below the runner's own: a snapshot's paths are relative to that
PASSAGE = "/run/store"  # where a container finds the socket that leads to a store on its host's loopback
STORAGE_SECRET = "storage-secret"  # noqa: S105 - its name


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """``service`` is the runner's own generation, ``account`` where backups go, ``schema`` what the release declares
    (``needs``, ``oldest``), ``vanilla`` the digest of its vanilla backup, ``volumes`` those of the runtimes by name,
    with how each is captured; ``passage`` what :func:`passage_to` found."""

    service: ImmutableServiceArgs
    settings: EnvironmentSettings
    account: Account
    passage: str | None
    schema: Mapping[str, int]
    vanilla: str | None
    runtimes: Mapping[str, RuntimeRelease]
    volumes: Mapping[str, Mount]


class Backup(pulumi.ComponentResource):
    """The runner. ``loaded``: what others wait for; ``schema``: what the data is at then; ``service``, ``name`` and
    ``configuration`` are the runner's own."""

    loaded: command.local.Command
    schema: pulumi.Output[int | None]
    service: pulumi.Output[str]
    name: str
    configuration: str

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:backup:Backup", name, None, opts)
        mounts = [volume.at(f"{VOLUMES}/{key}") for key, volume in sorted(args.volumes.items())]
        if args.passage:
            mounts.append(Mount(target=PASSAGE, folder=args.passage))
        own = replace(
            args.service,
            files={**args.service.files, PLAN_FILE: json.dumps(plan(args), sort_keys=True, indent=1) + "\n"},
            mounts=(*args.service.mounts, *mounts),
        )
        runner = ImmutableService(name, own, pulumi.ResourceOptions(parent=self))
        self.service, self.name, self.configuration = runner.service, runner.name, runner.configuration
        self.loaded = command.local.Command(
            f"{name}-load",
            create=pulumi.Output.concat("python3 -m commands.await_load ", runner.service),
            delete="true",
            dir=str(CHECKOUT),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[runner.resource]),
        )
        self._report = self.loaded.stdout.apply(lambda text: dict(json.loads(text)))
        self.schema = self._report.apply(lambda report: report.get("schema"))
        self.register_outputs({"service": self.service})

    def told(self, status: Status | None) -> dict[str, Any]:
        """What the stack's output ``backup`` says."""
        known = {"health": status.health, "reason": status.reason, "last": status.last} if status else {}
        return known | {"loaded": self._report}


def source_of(settings: EnvironmentSettings, stack: str) -> str:
    """The stack whose backups are loaded into what is empty."""
    return settings.restore.rpartition("/")[0] or stack


def passage_to(account: Account) -> str | None:
    """The folder of this host whose socket leads to the store, where its address is this host's loopback.

    A container has a loopback of its own. Raises SettingsError when there is no such folder.
    """
    if urlsplit(account.endpoint).hostname not in {"127.0.0.1", "localhost", "::1"}:
        return None
    passage = os.environ.get("STELE_STORE_PASSAGE")
    if not passage:
        raise SettingsError(
            "storage",
            account.endpoint,
            'an address that containers reach; the local platform\'s store needs eval "$(make -s env)"',
        )
    return passage


def plan(args: BackupArgs) -> dict[str, object]:
    """What the runner is told. Nothing that changes with every version: it restarts only for what it must know."""
    stack = args.service.environment
    return {
        "stack": stack,
        "source": source_of(args.settings, stack),
        "restore": args.settings.restore.rpartition("/")[2],
        "fenced": args.settings.fenced,
        "timezone": args.settings.timezone,
        "storage": {
            "endpoint": args.account.endpoint,
            "bucket": args.account.bucket,
            **_way_in(args.account),
        },
        "schema": dict(args.schema),
        "vanilla": args.vanilla,
        "volumes": {
            name: {"capture": args.runtimes[name].recipe.capture.value, "path": f"{VOLUMES}/{name}"}
            for name in sorted(args.volumes)
        },
    }


def _way_in(account: Account) -> dict[str, str]:
    """What the runner must know beside the secret to open the account."""
    return {"backend": account.backend} if account.backend is Backend.AZURE else {"access_key": account.access_key}
