"""Which of a program's set elements a planned set element came from (a plan reorders sets)."""

from __future__ import annotations

from typing import Any

from .schema import Block, Field, Kind, key_of
from .translate import RESERVED


def inputs_behind(
    path: tuple[str | int, ...], changed: list[int], planned: list[Any], inputs: dict[str, Any], spec: Field
) -> dict[int, int] | None:
    """Index in the inputs -> index in the plan, for the changed elements; None if the inputs list fewer elements."""
    given = _at(inputs, path)
    elements = given if isinstance(given, list) else []
    if len(elements) < len(planned):
        return None
    matched: dict[int, int] = {}
    for index in changed:
        for position, element in enumerate(elements):
            if position not in matched and explains(element, planned[index], spec, element_of_set=True):
                matched[position] = index
                break
    return matched


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def explains(given: Any, planned: Any, spec: Field | None, *, element_of_set: bool = False) -> bool:
    """Whether `planned` is `given` with only computed values added."""
    if element_of_set:
        if spec is not None and spec.elem is not None:
            return _object(given, planned, spec.elem)
        return bool(given == planned)
    if spec is None:
        return bool(given == planned)
    if spec.computed and given is None:
        return True
    if spec.max_one:
        return given is None and planned is None
    if spec.kind in (Kind.LIST, Kind.SET) or spec.kind is Kind.MAP:
        return _collection(given, planned, spec)
    return bool(given == planned)


def _object(given: Any, planned: Any, block: Block) -> bool:
    if not isinstance(given, dict) or not isinstance(planned, dict):
        return bool(given == planned)
    names = ({*given, *planned}) - RESERVED
    return all(explains(given.get(name), planned.get(name), block.get(key_of(name, block))) for name in names)


def _collection(given: Any, planned: Any, spec: Field) -> bool:
    if given is None:
        return not planned
    if planned is None or type(given) is not type(planned):
        return False
    if isinstance(given, dict):
        return bool(given == planned)
    if len(given) != len(planned):
        return False
    pairs = zip(given, planned, strict=True)
    if spec.elem is None:
        return bool(given == planned)
    return all(_object(a, b, spec.elem) for a, b in pairs)
