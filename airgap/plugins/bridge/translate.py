"""Between the two shapes of one object: Pulumi's properties and the upstream provider's attributes.

Attributes: snake_case keys, every key of the schema present, None for null, the object of a max-one list in a list.
Properties: camelCase names, and a max-one list shown as its only element, or null.
"""

from __future__ import annotations

from typing import Any

from .schema import UNKNOWN, Block, Field, Kind, key_of, pulumi_name
from .setorder import ordered
from .wire import Secret

DEFAULTS = "__defaults"
META = "__meta"
RAW_DELTA = "__pulumi_raw_state_delta"
RESERVED = frozenset({DEFAULTS, META, RAW_DELTA})


def wrap(spec: Field | None, value: Any) -> Any:
    """A single value where the schema wants a list becomes a list of one; null of a max-one list an empty one."""
    if spec is None or spec.kind not in (Kind.LIST, Kind.SET) or value is UNKNOWN:
        return value
    if value is None:
        return [] if spec.max_one else None
    return value if isinstance(value, list) else [value]


def to_attributes(properties: dict[str, Any], block: Block) -> dict[str, Any]:
    """Properties (inputs or state) as attributes; names that the schema lacks are left out.

    Raises ValueError for a value that cannot be of the attribute's type.
    """
    given = {key_of(name, block): value for name, value in properties.items() if name not in RESERVED}
    return {key: _to_attribute(spec, given.get(key)) for key, spec in block.items()}


def _to_attribute(spec: Field, value: Any) -> Any:
    value = wrap(spec, value)
    if value is UNKNOWN:
        return UNKNOWN
    if value is None:
        return [] if spec.is_block else None
    if spec.elem is not None:
        items = [item if item is UNKNOWN else to_attributes(item or {}, spec.elem) for item in value]
        return ordered(items, spec) if spec.kind is Kind.SET else items
    if spec.kind is Kind.MAP:
        return {key: _scalar(Kind.STRING, item) for key, item in value.items() if key not in RESERVED}
    if spec.is_collection:
        items = [_scalar(Kind.STRING, item) for item in value]
        return ordered(items, spec) if spec.kind is Kind.SET else items
    return _scalar(spec.kind, value)


def _scalar(kind: Kind, value: Any) -> Any:
    if value is None or value is UNKNOWN:
        return value
    if isinstance(value, dict | list):
        raise ValueError(f"expected a {kind}, got {type(value).__name__}")
    if kind is Kind.STRING:
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else f"{value:.15g}" if isinstance(value, float) else str(value)
    if kind is Kind.BOOL and not isinstance(value, bool):
        if str(value).lower() not in ("true", "false", "1", "0"):
            raise ValueError(f"expected a bool, got '{value}'")
        return str(value).lower() in ("true", "1")
    return int(value) if kind is Kind.INT else value


def to_properties(attributes: dict[str, Any], block: Block, *, secrets: bool = True) -> dict[str, Any]:
    """Attributes as the properties that a program sees. Sensitive ones are marked secret."""
    shown = {}
    for key, value in attributes.items():
        if key in RESERVED:
            shown[key] = value
            continue
        spec = block.get(key)
        out = _to_property(spec, value, secrets)
        shown[pulumi_name(key, spec)] = Secret(out) if secrets and spec and spec.sensitive else out
    return shown


def _to_property(spec: Field | None, value: Any, secrets: bool) -> Any:
    if spec is None or value is None or value is UNKNOWN:
        return value
    if spec.elem is not None:
        items = [to_properties(item, spec.elem, secrets=secrets) if isinstance(item, dict) else item for item in value]
    elif spec.kind in (Kind.LIST, Kind.SET):
        items = list(value)
    else:
        return dict(value) if spec.kind is Kind.MAP else value
    if spec.max_one:
        return items[0] if items else None
    return items
