"""The front door: one address that outlives every generation, the edge's own included.

Each generation of the edge (HAProxy) listens on a host port of its own. Its *gate*, a small task on the host's network,
puts a rule at the head of the kernel's packet filter: new connections to the public port go to this generation, running
ones stay where they are. When a gate ends, it takes its own rule away, so the one below is in force again. Therefore
going forward and going back are the same act, and no connection is ever refused. See docs/decisions/front-door.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi

from components.immutable_service import ImmutableService, ImmutableServiceArgs
from components.manifest import fingerprint
from components.recipe import Sizing
from components.settings import GENERATION_PORTS, Exposure

GATE = "/opt/stele/gate"
VERSION_FILE = "/etc/stele/version.json"
_GATE_FILE = "/etc/stele/gate.properties"
_GATE_SIZING = Sizing(memory=64, cpus=0.5, replicas=1)


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    """``service`` is the edge's own generation; ``port`` the public port; ``host_network`` the id of the
    host's network; ``version`` what ``GET /version`` answers; ``serving`` the generation's port that serves now, by the
    name of its service."""

    service: ImmutableServiceArgs
    port: int
    exposure: Exposure
    dns: Sequence[str]
    host_network: pulumi.Input[str]
    version: Mapping[str, object]
    serving: Mapping[str, int]


class Edge(pulumi.ComponentResource):
    """The front door of one environment. Outputs: ``url`` and ``service``. Known at plan time: ``name``, which is
    the same, and ``port``, where this generation listens."""

    url: pulumi.Output[str]
    service: pulumi.Output[str]
    name: str
    port: int | None
    configuration: str

    def __init__(self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:edge:Edge", name, None, opts)
        version = json.dumps(args.version, sort_keys=True, indent=1) + "\n"
        own = replace(
            args.service, publish=True, serving=args.serving, files={**args.service.files, VERSION_FILE: version}
        )
        door = ImmutableService(name, own, pulumi.ResourceOptions(parent=self))
        gate = ImmutableService(f"{name}-gate", _gate(args, door), pulumi.ResourceOptions(parent=self))
        self.service, self.name, self.port = door.service, door.name, door.port
        self.configuration = door.configuration
        url = f"http://{args.dns[0]}:{args.port}"
        # Known only once the gate is open, so that whoever reads it can use it.
        self.url = gate.service.apply(lambda _: url)
        self.register_outputs({"url": self.url, "service": self.service})


def _gate(args: EdgeArgs, door: ImmutableService) -> ImmutableServiceArgs:
    recipe = args.service.recipe
    checkout = os.environ.get("STELE_CHECKOUT_ID", "local")
    properties = {
        "GATE_TABLE": f"stele_{checkout}_{args.service.environment.replace('-', '_')}",
        "GATE_PORT": str(args.port),
        "GATE_TARGET": str(door.port),
        "GATE_EXPOSURE": args.exposure.value,
        "GATE_RANGE": f"{GENERATION_PORTS.start}-{GENERATION_PORTS.stop - 1}",
    }
    # Each gate marks its own rules: two of them may lead to the same door, with another port or exposure.
    properties["GATE_GENERATION"] = fingerprint(properties)
    return replace(
        args.service,
        recipe=replace(recipe, volume=None, stop=replace(recipe.stop, signal="SIGTERM", drain=0, grace=10)),
        sizing=replace(_GATE_SIZING, replicas=args.service.sizing.replicas),  # one beside each
        network=args.host_network,
        files={_GATE_FILE: "".join(f"{key}={value}\n" for key, value in properties.items())},
        secrets=(),
        mounts=(),
        command=(GATE, "hold"),
        health=(GATE, "check"),
        publish=False,
        on_host=True,
        kernel={},
        after=(door.resource,),
    )
