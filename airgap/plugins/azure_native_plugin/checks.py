"""Check: is every required input there, and of its type?"""

from __future__ import annotations

from typing import Any

from bridge.schema import UNKNOWN

from .sdk import Kind, Shape

_TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.STRING: (str,),
    Kind.BOOL: (bool,),
    Kind.NUMBER: (int, float),
    Kind.LIST: (list,),
    Kind.MAP: (dict,),
    Kind.OBJECT: (dict,),
}


def faults(given: dict[str, Any], fields: dict[str, Shape], prefix: str = "") -> list[tuple[str, str]]:
    """What is wrong with an object, as (property, reason)."""
    found: list[tuple[str, str]] = []
    for name, shape in fields.items():
        path, value = prefix + name, given.get(name)
        if value is not None:
            found += _value(path, value, shape)
        elif shape.required:
            found.append((path, f"missing required property '{path}'"))
    return found + [(prefix + name, f"unknown property '{prefix + name}'") for name in given if name not in fields]


def _value(path: str, value: Any, shape: Shape) -> list[tuple[str, str]]:
    if value is UNKNOWN or shape.kind is Kind.ANY:
        return []
    if not _fits(value, shape.kind):
        return [(path, f"'{path}' must be {shape.kind}")]
    if shape.kind is Kind.OBJECT:
        return faults(value, shape.fields, f"{path}.")
    if shape.item is None:
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [fault for key, item in items for fault in _value(f"{path}[{key}]", item, shape.item)]


def _fits(value: Any, kind: Kind) -> bool:
    if kind is Kind.NUMBER and isinstance(value, bool):  # which is an int in Python
        return False
    return isinstance(value, _TYPES[kind])
