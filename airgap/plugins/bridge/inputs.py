"""Check: what a program gave, with the defaults filled in and listed under `__defaults`."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from .schema import UNKNOWN, Block, Field, Kind, key_of, pulumi_name
from .translate import DEFAULTS, RESERVED, _scalar, wrap


@dataclass(frozen=True)
class Naming:
    """How a resource without a name gets one: from its URN, or as the engine proposes."""

    urn: str
    seed: bytes = b""
    proposed: str = ""
    mode: str = ""

    def name(self) -> str:
        """The name. Raises ValueError where the stack's settings forbid automatic names."""
        if self.mode == "disabled":
            raise ValueError("automatic naming is disabled but no explicit name was provided")
        if self.mode:
            return self.proposed
        suffix = hashlib.sha256(self.seed).hexdigest()[:7] if self.seed else secrets.token_hex(4)[:7]
        return f"{self.urn.rsplit('::', 1)[-1]}-{suffix}"


def with_defaults(
    given: dict[str, Any], old: dict[str, Any] | None, block: Block, naming: Naming | None
) -> dict[str, Any]:
    """The inputs of one object, nested objects included. `old`: the inputs of the last update."""
    old = old or {}
    out: dict[str, Any] = {}
    present: set[str] = set()
    for name, value in given.items():
        if name in RESERVED or value is None:
            continue
        key = key_of(name, block)
        present.add(key)
        spec = block.get(key)
        out[pulumi_name(key, spec)] = _input(spec, value, old.get(name)) if spec else value
    added = _defaults(present, old, block, naming, out)
    return {**out, DEFAULTS: sorted(added)}


def _defaults(
    present: set[str], old: dict[str, Any], block: Block, naming: Naming | None, out: dict[str, Any]
) -> list[str]:
    reusable = set(old[DEFAULTS]) if DEFAULTS in old else None
    barred = _barred(present, block)
    added = []
    for key, spec in block.items():
        name = pulumi_name(key, spec)
        has_default = spec.default not in (None, False, 0, "") or (spec.auto_name and naming is not None)
        replayed = spec.default is not None and name in old and reusable is not None and name in reusable
        if key in present or key in barred or spec.deprecated or not (has_default or replayed):
            continue
        if old.get(name) is not None and (reusable is None or name in reusable):
            out[name] = old[name]
        else:
            out[name] = naming.name() if spec.auto_name and naming is not None else spec.default
        added.append(name)
    return added


def _barred(present: set[str], block: Block) -> set[str]:
    """The attributes that must not get a default because they would contradict what is given."""
    barred: set[str] = set()
    for key, spec in block.items():
        others = (*spec.conflicts_with, *spec.exactly_one_of)
        if key in present:
            barred.update(others)
        elif any(other in present for other in others):
            barred.add(key)
    return barred


def _input(spec: Field, value: Any, old: Any) -> Any:
    if value is UNKNOWN:
        return UNKNOWN
    value, old = wrap(spec, value), wrap(spec, old)
    if spec.elem is not None and isinstance(value, list):
        before = _pair(value, old if isinstance(old, list) else [], spec)
        items = [
            with_defaults(item, before[index], spec.elem, None) if isinstance(item, dict) else item
            for index, item in enumerate(value)
        ]
    elif spec.kind is Kind.MAP and isinstance(value, dict):
        return {key: _text(item) for key, item in value.items()}
    elif isinstance(value, list):
        items = [_text(item) for item in value]
    else:
        return value if isinstance(value, dict | list) else _lenient(spec.kind, value)
    if spec.max_one:
        return items[0] if items else None
    return items


def _text(value: Any) -> Any:
    return value if isinstance(value, dict | list) else _scalar(Kind.STRING, value)


def _lenient(kind: Kind, value: Any) -> Any:
    """The value in the attribute's type, or as it is where that fails: the check names it then."""
    try:
        return _scalar(kind, value)
    except ValueError:
        return value


def _pair(new: list[Any], old: list[Any], spec: Field) -> dict[int, dict[str, Any] | None]:
    """The old element of each new one: by position in lists, by likeness in sets."""
    objects = [item if isinstance(item, dict) else None for item in old]
    if spec.kind is not Kind.SET or None in objects or not all(isinstance(item, dict) for item in new):
        return {index: objects[index] if index < len(objects) else None for index in range(len(new))}
    scores = []
    for index, item in enumerate(new):
        for position, before in enumerate(objects):
            shared = set(item) & set(before or {})
            score = sum(3 if (before or {})[key] == item[key] else 1 for key in shared)
            scores.append((-score, index, position))
    pairs: dict[int, dict[str, Any] | None] = dict.fromkeys(range(len(new)))
    used_new: set[int] = set()
    used_old: set[int] = set()
    for _, index, position in sorted(scores):
        if index not in used_new and position not in used_old:
            pairs[index] = objects[position]
            used_new.add(index)
            used_old.add(position)
    return pairs
