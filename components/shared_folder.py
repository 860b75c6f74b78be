"""A folder that every host of a cluster has, for the data of one runtime: where its owner runs does not matter."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.boundary import CHECKOUT


@dataclass(frozen=True, kw_only=True)
class SharedFolderArgs:
    """``name`` of the folder in ``parent``, which is there on every host; ``image`` of its owner, which makes it."""

    parent: str
    name: str
    image: str


class SharedFolder(pulumi.ComponentResource):
    """Made once, by a container that ends at once. `pulumi destroy` leaves it: it holds data. ``path``: where it is."""

    path: str
    resource: command.local.Command

    def __init__(self, name: str, args: SharedFolderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:cluster:SharedFolder", name, None, opts)
        self.path = f"{args.parent}/{args.name}"
        self.resource = command.local.Command(
            f"{name}-folder",
            create=f"python3 -m hosts.folder {shlex.join([args.image, args.parent, args.name])}",
            delete="true",
            dir=str(CHECKOUT),
            triggers=[self.path],
            # Another image makes the same folder: no reason to make it again.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["create"], delete_before_replace=False),
        )
        self.register_outputs({"path": self.path})
