"""Null, empty and zero: which of them a value holds after each of upstream's conversions."""

from __future__ import annotations

from typing import Any

from .schema import UNKNOWN, Block, Field, Kind, zero


def scalar_text(value: Any) -> str:
    """A scalar in the flat, textual picture of a resource; null is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def zero_text(spec: Field) -> str:
    """The zero value of a scalar in that picture."""
    return scalar_text(zero(spec))


def filled(item: dict[str, Any], block: Block) -> dict[str, Any]:
    """A nested object with its nulls turned into zero values; an object of which nothing is set stays all null."""
    if all(item.get(key) is None for key in block):
        return dict.fromkeys(block)
    return {key: _filled_field(spec, item.get(key)) for key, spec in block.items()}


def _filled_field(spec: Field, value: Any) -> Any:
    if value is None:
        return zero(spec)
    if spec.elem is not None and isinstance(value, list):
        return [filled(item, spec.elem) if isinstance(item, dict) else item for item in value]
    return value


def filled_top(attributes: dict[str, Any], block: Block) -> dict[str, Any]:
    """The same for a whole resource, whose own attributes keep their nulls."""
    return {
        key: None if attributes.get(key) is None else _filled_field(spec, attributes[key])
        for key, spec in block.items()
    }


def keep_nulls(new: Any, wanted: Any, spec: Field, *, applied: bool) -> Any:
    """Undo the zero values in `new` that `wanted` (the proposal, or with `applied` the plan) shows to be nulls."""
    if wanted is UNKNOWN:
        return UNKNOWN if new is None and not applied else new
    if applied and spec.is_collection and _one_null_one_empty(new, wanted):
        return wanted
    if wanted is None or new is UNKNOWN:
        return new
    if spec.kind is Kind.SET:
        return wanted if applied and _known(wanted) else new
    if spec.kind is Kind.LIST:
        return _keep_list(new, wanted, spec, applied=applied)
    if spec.kind is Kind.STRING and new is None and wanted == "":
        return ""
    return new


def _one_null_one_empty(a: Any, b: Any) -> bool:
    return (a is None and b in ([], {})) or (b is None and a in ([], {}))


def _keep_list(new: Any, wanted: list[Any], spec: Field, *, applied: bool) -> Any:
    if new is None:
        return wanted if not wanted or (not applied and all(item is UNKNOWN for item in wanted)) else None
    if len(new) != len(wanted) or spec.elem is None:
        return new
    return [
        keep_object(a, b, spec.elem, applied=applied) if isinstance(a, dict) and isinstance(b, dict) else a
        for a, b in zip(new, wanted, strict=True)
    ]


def keep_object(new: dict[str, Any], wanted: dict[str, Any], block: Block, *, applied: bool) -> dict[str, Any]:
    """`keep_nulls` for every attribute of an object."""
    return {key: keep_nulls(new.get(key), wanted.get(key), spec, applied=applied) for key, spec in block.items()}


def _known(value: Any) -> bool:
    if value is UNKNOWN:
        return False
    if isinstance(value, dict):
        return all(_known(item) for item in value.values())
    return all(_known(item) for item in value) if isinstance(value, list) else True


def equivalent(a: Any, b: Any) -> bool:
    """Whether two values mean the same to upstream: nulls and zero values do."""
    if a == b:
        return True
    if a is UNKNOWN or b is UNKNOWN:
        return False
    if not a or not b:
        return not a and not b
    if isinstance(a, dict) and isinstance(b, dict):
        return set(a) == set(b) and all(equivalent(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(any(equivalent(x, y) for y in b) for x in a) and _pairs(a, b)
    return False


def _pairs(a: list[Any], b: list[Any]) -> bool:
    """Lists are equivalent item by item; sets arrive here in one fixed order, so the same test serves both."""
    return all(equivalent(x, y) for x, y in zip(a, b, strict=True))
