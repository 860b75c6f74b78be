"""One host as a stack declares it: what `components/host.py` hands over, as JSON on standard input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

HOST_LABEL = "stele.host"  # of a node: which host of the cluster it is


class Role(StrEnum):
    """Managers decide where tasks run, by majority; both kinds run tasks."""

    MANAGER = "manager"
    WORKER = "worker"


class HostError(Exception):
    """A step of a host's life failed. The text is one line that names host and step; the console's end may follow."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A host of a cluster.

    ``generation`` names its content: another one is another machine. ``address``: ``USER@IP`` of one that is reached
    over SSH; empty for an engine in a name space of this machine, in ``subnet``. ``image``: the IMAGE_VERSION that its
    os-release must say. ``peers``: addresses of hosts that may know the cluster. ``window``: seconds for a step.
    """

    cluster: str
    name: str
    generation: str
    role: Role
    subnet: str
    window: int
    address: str = ""
    image: str = ""
    peers: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The plain form."""
        return json.dumps(vars(self) | {"role": self.role.value}, sort_keys=True)

    @staticmethod
    def of(text: str) -> Wanted:
        """From the plain form."""
        plain: Mapping[str, Any] = json.loads(text)
        return Wanted(**dict(plain) | {"role": Role(plain["role"]), "peers": tuple(plain.get("peers", ()))})
