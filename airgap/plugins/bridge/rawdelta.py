"""The `__pulumi_raw_state_delta` property: how to get upstream's raw state back from the properties.

The official plugin needs it to read a state that these plugins wrote. The keys: `obj` (with `ps` properties and
`renamed`), `map`, `arr` (with `el` elements), `plu` (a list shown as its only element, with `i` the element's delta).
"""

from __future__ import annotations

from typing import Any

from .schema import Block, Field, Kind, pulumi_name, snake

Delta = dict[str, Any]


def raw_state_delta(attributes: dict[str, Any], block: Block) -> Delta:
    """The delta of one object; empty parts are left out, as the official plugin does."""
    deltas: Delta = {}
    renamed: Delta = {}
    for key, value in attributes.items():
        spec = block.get(key)
        name = pulumi_name(key, spec)
        if snake(name) != key:
            renamed[name] = key
        inner = _field(spec, value) if spec else {}
        if inner:
            deltas[name] = inner
    return {"obj": {**({"ps": deltas} if deltas else {}), **({"renamed": renamed} if renamed else {})}}


def _field(spec: Field, value: Any) -> Delta:
    if value is None:
        return {}
    if spec.kind is Kind.MAP:
        return {"map": {}}
    if not spec.is_collection:
        return {}
    if spec.max_one:
        return {"plu": {"i": _element(spec, value[0]) if value else {}}}
    elements = {str(index): delta for index, item in enumerate(value) if (delta := _element(spec, item))}
    return {"arr": {"el": elements} if elements else {}}


def _element(spec: Field, item: Any) -> Delta:
    return raw_state_delta(item, spec.elem) if spec.elem is not None and isinstance(item, dict) else {}
