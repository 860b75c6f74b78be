"""A recipe: how the container of one runtime is started and wired. It travels inside the release manifest.

A runtime's recipe is its family's (``runtimes/<family>/template.yaml``) with the runtime's own few lines
(``runtimes/<product>/<name>/runtime.yaml``) laid over it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from components.settings import SECRET_KEY, Size


class Capture(StrEnum):
    """How the content of a volume is made consistent for a backup: a dump of its database, the broker's messages, or its
    files as they are."""

    DATABASE = "database"
    MESSAGES = "messages"
    FILES = "files"


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
    capture: Capture = Capture.FILES
    tasks: bool = False  # this runtime is the task runner: it loads every volume, and backs them up

    def to_json(self) -> dict[str, Any]:
        """The plain form that the manifest holds; :func:`recipe_of` reads it back.

        Keys that came later are left out at their default: releases from before them keep their digest.
        """
        plain = asdict(self) | {"needs": list(self.needs), "secrets": list(self.secrets)}
        for key, default in (("capture", Capture.FILES), ("tasks", False)):
            if plain[key] == default:
                del plain[key]
        return plain


def _laid_over(family: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(family)
    for key, value in own.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _laid_over(below, value) if both else value  # type: ignore[arg-type]
    return merged


_KEYS = {"needs", "secrets", "volume", "sizing", "health", "stop", "front", "capture", "tasks"}
_NAMED = re.compile(r"[a-z][a-z0-9-]{0,38}")


def _names(plain: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = plain.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) and _NAMED.fullmatch(name) for name in names):
        raise ValueError(f"{key}: {names!r} is not allowed; allowed: a list of names")
    return tuple(names)


def _secrets(plain: Mapping[str, Any]) -> tuple[str, ...]:
    """Only names that can be set in a stack: a published release must be deployable."""
    names = _names(plain, "secrets")
    for name in names:
        if not SECRET_KEY.fullmatch(name):
            raise ValueError(
                f"secrets: {name!r} is not allowed; allowed: names like {name}-key, -password, -secret, -token"
            )
    return names


def _volume(plain: Mapping[str, Any]) -> str | None:
    volume = plain.get("volume")
    if volume is not None and not (isinstance(volume, str) and volume.startswith("/")):
        raise ValueError(f"volume: {volume!r} is not allowed; allowed: an absolute path, e.g. /data")
    return volume


def _capture(plain: Mapping[str, Any]) -> Capture:
    value = plain.get("capture", Capture.FILES)
    try:
        return Capture(value)
    except ValueError:
        raise ValueError(f"capture: {value!r} is not allowed; allowed: {', '.join(Capture)}") from None


def _numbers(kind: str, figures: object) -> Mapping[str, Any]:
    if not isinstance(figures, Mapping):
        raise ValueError(f"{kind}: {figures!r} is not allowed; allowed: a mapping")
    for key, figure in figures.items():
        number = isinstance(figure, int | float) and not isinstance(figure, bool) and figure >= 0
        if key != "signal" and not number:
            raise ValueError(f"{kind}.{key}: {figure!r} is not allowed; allowed: a number")
        if key not in ("signal", "cpus") and not isinstance(figure, int):
            raise ValueError(f"{kind}.{key}: {figure!r} is not allowed; allowed: a whole number")
    return figures


def recipe_of(source: str, own: Mapping[str, Any], family: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe from its plain form, with the family's values below it.

    ``source`` names the file for messages. Raises :class:`RecipeError`.
    """
    plain = _laid_over(family or {}, own)
    if unknown := sorted(plain.keys() - _KEYS):
        raise RecipeError(f"{source}: {unknown[0]} is not a key; allowed: {', '.join(sorted(_KEYS))}")
    try:
        return Recipe(
            needs=_names(plain, "needs"),
            secrets=_secrets(plain),
            volume=_volume(plain),
            sizing={Size(size): Sizing(**_numbers(size, figures)) for size, figures in plain["sizing"].items()},
            health=Health(**_numbers("health", plain["health"])),
            stop=Stop(**_numbers("stop", plain["stop"])),
            front=bool(plain.get("front", False)),
            capture=_capture(plain),
            tasks=bool(plain.get("tasks", False)),
        )
    except KeyError as missing:
        raise RecipeError(f"{source}: {missing.args[0]} is not set; see runtimes/README.md for the keys") from None
    except (AttributeError, TypeError, ValueError) as wrong:
        raise RecipeError(f"{source}: {wrong}; see runtimes/README.md for the keys") from None
