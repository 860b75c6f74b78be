"""What the engine runs for an environment, captured, so that other ways of running the very same can be compared."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from bench.lab.swarm import Swarm
from bench.lab.workspace import Stack


@dataclass(frozen=True)
class Captured:
    """One service: its runtime, the engine's specification, and its configuration files by path."""

    runtime: str
    spec: dict[str, Any]
    files: dict[str, str]

    @property
    def container(self) -> dict[str, Any]:
        """The part about the container."""
        part: dict[str, Any] = self.spec["TaskTemplate"]["ContainerSpec"]
        return part

    @property
    def front(self) -> bool:
        """Whether callers come in here."""
        return bool(self.spec.get("EndpointSpec", {}).get("Ports"))

    @property
    def gate(self) -> bool:
        """Whether this is a gate: it leads the public port to one generation of the edge."""
        return "/etc/stele/gate.properties" in self.files


def capture(stack: Stack) -> list[Captured]:
    """Every service of a stack, what callers reach last: runtimes, then the edge, then its gate."""
    with Swarm(stack.name) as swarm:
        configs = {config.id: config.attrs["Spec"]["Data"] for config in swarm.client.configs.list()}
        found = []
        for name in swarm.services():
            spec = swarm.specification(name)
            mounted = spec["TaskTemplate"]["ContainerSpec"].get("Configs") or []
            files = {each["File"]["Name"]: base64.b64decode(configs[each["ConfigID"]]).decode() for each in mounted}
            found.append(Captured(name.removeprefix(f"{stack.name}-").rpartition("-")[0], spec, files))
    return sorted(found, key=lambda each: (each.gate, each.front, each.runtime))
