"""A recipe: how the container of one runtime is started and wired. It travels inside the release manifest.

A runtime's recipe is its family's (``runtimes/<family>/template.yaml``) with the runtime's own few lines
(``runtimes/<product>/<name>/runtime.yaml``) laid over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.settings import Size


class RecipeError(ValueError):
    """A recipe that is not usable; its text is one line that names the file, the key and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """What one size gets: ``memory`` in MiB (a hard limit), ``cpus`` in whole or part processors, ``replicas``."""

    memory: int
    cpus: float
    replicas: int


@dataclass(frozen=True, kw_only=True)
class Health:
    """How health is asked: every ``interval`` seconds, ``retries`` failures in a row are unhealthy; a new generation
    has ``window`` seconds to become healthy."""

    window: int
    interval: int
    retries: int


@dataclass(frozen=True, kw_only=True)
class Stop:
    """How a task ends: ``signal`` is sent, it serves for ``drain`` more seconds, and is killed after ``grace``."""

    signal: str
    drain: int
    grace: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything an environment needs to start one runtime of a release, besides the image itself."""

    needs: tuple[str, ...]
    secrets: tuple[str, ...]
    volume: str | None  # where the runtime's own volume is mounted; None: the runtime keeps no state
    sizing: Mapping[Size, Sizing]
    health: Health
    stop: Stop
    front: bool  # this runtime is the front door: it listens where callers come in

    def to_json(self) -> dict[str, Any]:
        """The plain form that the manifest holds; :func:`recipe_of` reads it back."""
        return asdict(self) | {"needs": list(self.needs), "secrets": list(self.secrets)}


def _laid_over(family: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(family)
    for key, value in own.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _laid_over(below, value) if both else value  # type: ignore[arg-type]
    return merged


def recipe_of(source: str, own: Mapping[str, Any], family: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe from its plain form, with the family's values below it.

    ``source`` names the file for messages. Raises :class:`RecipeError`.
    """
    plain = _laid_over(family or {}, own)
    try:
        return Recipe(
            needs=tuple(plain.get("needs", ())),
            secrets=tuple(plain.get("secrets", ())),
            volume=plain.get("volume"),
            sizing={Size(size): Sizing(**figures) for size, figures in plain["sizing"].items()},
            health=Health(**plain["health"]),
            stop=Stop(**plain["stop"]),
            front=bool(plain.get("front", False)),
        )
    except KeyError as missing:
        raise RecipeError(f"{source}: {missing.args[0]} is not set; see runtimes/README.md for the keys") from None
    except (TypeError, ValueError) as wrong:
        raise RecipeError(f"{source}: {wrong}; see runtimes/README.md for the keys") from None
