"""What a cluster's hosts are: machines, of this kind or that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hosts.wanted import Wanted


@dataclass(frozen=True)
class Machine:
    """One of them: its host's name and generation, where other hosts reach it, and its engine (DOCKER_HOST)."""

    name: str
    generation: str
    address: str
    engine: str


def with_data(volumes: Iterable[str]) -> list[str]:
    """Those volumes that somebody has given a name."""
    return sorted(name for name in volumes if not re.fullmatch(r"[0-9a-f]{64}", name))


class Machines(Protocol):
    """Those of one cluster."""

    def wake(self) -> None:
        """Switch on what is off and is not lost. Raises HostError."""

    def all(self) -> Sequence[Machine]:
        """Every one that may be in the cluster; without a name, one that is asked about it and nothing else."""

    def find(self, name: str, generation: str) -> Machine | None:
        """One of them, when it answers. Raises HostError when it is not what it should be."""

    def bring_up(self, wanted: Wanted) -> Machine:
        """A machine that is in no cluster yet. Raises HostError."""

    def take_away(self, machine: Machine) -> None:
        """It is in no cluster any more, and nothing of it stays that this program has made."""

    def console(self, name: str, generation: str) -> Sequence[str]:
        """What it said last."""
