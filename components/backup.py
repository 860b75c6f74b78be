"""The task runner of one stack: what is empty is loaded, the data is migrated, and every night is backed up and verified.

It is healthy once that is done, and nothing that has a volume starts before. So one `pulumi up` is a new installation, an
update, a move or disaster recovery: they differ in what the runner finds (runtimes/task-runner/runner/load.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pulumi
import pulumi_docker as docker

from components.immutable_service import ImmutableService, ImmutableServiceArgs
from components.manifest import RuntimeRelease
from components.settings import EnvironmentSettings, SettingsError
from components.storage_reference import Account
from components.swarm import Mount

PLAN_FILE = "/etc/stele/backup.json"
VOLUMES = "/data/volumes"  # below the runner's own: a snapshot's paths are relative to that
PASSAGE = "/run/store"  # where a container finds the socket that leads to a store on its host's loopback
STORAGE_SECRET = "storage-secret"  # noqa: S105 - its name


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """``service`` is the runner's own generation, ``account`` where backups go, ``schema`` what the release declares
    (``needs``, ``oldest``), ``volumes`` those of the runtimes by name, with how each is captured."""

    service: ImmutableServiceArgs
    settings: EnvironmentSettings
    account: Account
    schema: Mapping[str, int]
    runtimes: Mapping[str, RuntimeRelease]
    volumes: Mapping[str, docker.Volume]


class Backup(pulumi.ComponentResource):
    """The runner. ``runner``: its service, for others to wait for; ``service``, ``name`` and ``configuration`` are its own."""

    runner: ImmutableService
    service: pulumi.Output[str]
    name: str
    configuration: str

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:backup:Backup", name, None, opts)
        passage = passage_to(args.account)
        mounts = [Mount(target=f"{VOLUMES}/{key}", volume=volume) for key, volume in sorted(args.volumes.items())]
        if passage:
            mounts.append(Mount(target=PASSAGE, folder=passage))
        own = replace(
            args.service,
            files={**args.service.files, PLAN_FILE: json.dumps(plan(args), sort_keys=True, indent=1) + "\n"},
            mounts=(*args.service.mounts, *mounts),
        )
        self.runner = ImmutableService(name, own, pulumi.ResourceOptions(parent=self))
        self.service, self.name = self.runner.service, self.runner.name
        self.configuration = self.runner.configuration
        self.register_outputs({"service": self.service})


def passage_to(account: Account) -> str | None:
    """The folder of this host whose socket leads to the store, where its address is this host's loopback. A container has a
    loopback of its own. Raises SettingsError when there is none."""
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
    """What the runner is told. Nothing that changes with every version: it need not restart for what it does not see."""
    source, _, wanted = args.settings.restore.rpartition("/")
    stack = args.service.environment
    return {
        "stack": stack,
        "source": source or stack,
        "restore": wanted,
        "fenced": args.settings.fenced,
        "timezone": args.settings.timezone,
        "storage": {
            "endpoint": args.account.endpoint,
            "bucket": args.account.bucket,
            "access_key": args.account.access_key,
        },
        "schema": dict(args.schema),
        "volumes": {
            name: {"capture": args.runtimes[name].recipe.capture.value, "path": f"{VOLUMES}/{name}"}
            for name in sorted(args.volumes)
        },
    }
