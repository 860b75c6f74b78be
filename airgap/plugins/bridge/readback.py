"""Read: the inputs that a refresh or an import writes down for a resource."""

from __future__ import annotations

from typing import Any

from .inputs import _pair
from .schema import Block, Field, Kind, key_of
from .translate import DEFAULTS, RESERVED
from .wire import Secret, reveal


def refreshed_inputs(old: dict[str, Any], outputs: dict[str, Any], block: Block) -> dict[str, Any]:
    """The old inputs with what the engine now says; a default that changed is a default no longer."""
    inputs, _ = _object(old, outputs, block)
    return _without_empty_top(inputs)


def _object(old: dict[str, Any], new: dict[str, Any], block: Block) -> tuple[dict[str, Any], bool]:
    defaults = set(old.get(DEFAULTS, []))
    unchanged = True
    out: dict[str, Any] = {}
    for name, value in old.items():
        same = False
        if name in new:
            out[name], same = _value(value, new[name], block.get(key_of(name, block)))
        if not same:
            unchanged = False
            defaults.discard(name)
    if DEFAULTS in old:
        out[DEFAULTS] = sorted(defaults)
    return out, unchanged or DEFAULTS not in old


def _value(old: Any, new: Any, spec: Field | None) -> tuple[Any, bool]:
    bare = new.value if isinstance(new, Secret) else new
    if isinstance(old, list) and isinstance(bare, list):
        return _list(old, bare, spec)
    if isinstance(old, dict) and isinstance(bare, dict):
        if spec is not None and spec.elem is not None:
            return _object(old, bare, spec.elem)
        out = {key: bare[key] for key in old if key in bare}
        return out, out == old
    return new, old == new


def _list(old: list[Any], new: list[Any], spec: Field | None) -> tuple[list[Any], bool]:
    element = Field(Kind.MAP, elem=spec.elem) if spec is not None and spec.elem is not None else None
    by_likeness = spec is not None and spec.kind is Kind.SET and spec.elem is not None
    same = True
    out = []
    pairs = _pair(old, new, spec) if by_likeness and spec is not None else None
    for index, item in enumerate(old):
        partner = pairs[index] if pairs is not None else new[index] if index < len(new) else None
        if partner is None:
            same = False
            continue
        value, equal = _value(item, partner, element)
        same = same and equal
        out.append(value)
    return out, same


def _without_empty_top(inputs: dict[str, Any]) -> dict[str, Any]:
    """The recorded answers keep every `__defaults` that the old inputs had; nothing is dropped at the top."""
    return inputs


def imported_inputs(outputs: dict[str, Any], block: Block) -> dict[str, Any]:
    """The inputs of an imported resource: every settable property that is not at its default or zero value."""
    out: dict[str, Any] = {}
    for name, value in outputs.items():
        spec = block.get(key_of(name, block))
        if name in RESERVED or value is None or spec is None or not (spec.optional or spec.required):
            continue
        shown = _imported(value, spec)
        if spec.required or not _idle(shown, spec):
            out[name] = shown
    out[DEFAULTS] = []
    return out


def _imported(value: Any, spec: Field) -> Any:
    bare = value.value if isinstance(value, Secret) else value
    if spec.elem is not None and isinstance(bare, dict):
        return imported_inputs(bare, spec.elem)
    if spec.elem is not None and isinstance(bare, list):
        return [imported_inputs(item, spec.elem) for item in bare]
    return value


def _idle(value: Any, spec: Field) -> bool:
    bare = reveal(value)
    if spec.default is not None:
        return bool(bare == spec.default)
    if isinstance(bare, dict):
        return not set(bare) - {DEFAULTS}
    return not bare


def drop_conflicts(inputs: dict[str, Any], block: Block) -> dict[str, Any]:
    """Leave out an input that contradicts one before it in alphabetical order, so that the result passes a check."""
    seen: set[str] = set()
    out = dict(inputs)
    for name in sorted(inputs):
        key = key_of(name, block)
        spec = block.get(key)
        if spec is not None and any(other in seen for other in spec.conflicts_with):
            del out[name]
        elif name not in RESERVED:
            seen.add(key)
    return out
