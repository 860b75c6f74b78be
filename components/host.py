"""One host of a cluster: another image is another machine; the old one leaves when what it ran is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_command as command

from components.boundary import CHECKOUT
from hosts.wanted import Wanted


@dataclass(frozen=True, kw_only=True)
class HostArgs:
    """``wanted`` is what the host must be; ``after`` the host before it: hosts change one after the other."""

    wanted: Wanted
    after: Sequence[pulumi.Resource] = ()


class Host(pulumi.ComponentResource):
    """A host of a cluster. Outputs: ``address``, where other hosts reach it, and ``engine``, its DOCKER_HOST.

    Created, it joins the cluster. Changed, a new machine joins, the old one's tasks get healthy elsewhere, and it
    leaves. Deleted, it does the same without a successor (hosts/roll.py).
    """

    address: pulumi.Output[str]
    engine: pulumi.Output[str]
    resource: command.local.Command

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:cluster:Host", name, None, opts)
        converge = "python3 -m hosts converge"
        self.resource = command.local.Command(
            f"{name}-host",
            create=converge,
            update=converge,
            delete="python3 -m hosts remove",
            stdin=args.wanted.to_json(),
            dir=str(CHECKOUT),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after), delete_before_replace=True),
        )
        printed = self.resource.stdout.apply(_printed)
        self.address = printed.apply(lambda where: where["address"])
        self.engine = printed.apply(lambda where: where["engine"])
        self.register_outputs({"address": self.address, "engine": self.engine})


def _printed(text: str) -> dict[str, Any]:
    return dict(json.loads(text.strip().splitlines()[-1]))
