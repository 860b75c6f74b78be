"""Where hosts come from: a contract for whatever brings machines up and takes them away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hosts.wanted import Wanted


@dataclass(frozen=True)
class Machine:
    """A machine: its host's name and generation, where other hosts reach it, and its engine (DOCKER_HOST)."""

    name: str
    generation: str
    address: str
    engine: str


class Machines(Protocol):
    """The machines of one cluster."""

    def all(self) -> Sequence[Machine]:
        """Every machine that was brought up and not taken away, whether or not it answers."""

    def find(self, name: str, generation: str) -> Machine | None:
        """One of them, when its engine answers."""

    def bring_up(self, wanted: Wanted) -> Machine:
        """Bring a machine up, from nothing; what is left of an earlier one of that name is taken away. HostError."""

    def take_away(self, name: str, generation: str) -> None:
        """It is not needed any more, or is dead. Nothing happens when there is none."""

    def console(self, name: str, generation: str) -> list[str]:
        """The last lines that it said."""
