"""Shorthand for schemas, and the checks on single values with upstream's wording."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from bridge.schema import Block, Field, Kind

from .durations import parse_duration

Check = Callable[[Any], str | None]


def text(**facts: Any) -> Field:
    """An optional string."""
    return Field(Kind.STRING, **_optional(facts))


def number(**facts: Any) -> Field:
    """An optional whole number."""
    return Field(Kind.INT, **_optional(facts))


def flag(**facts: Any) -> Field:
    """An optional bool."""
    return Field(Kind.BOOL, **_optional(facts))


def mapping(**facts: Any) -> Field:
    """An optional map of strings."""
    return Field(Kind.MAP, **_optional(facts))


def strings(**facts: Any) -> Field:
    """An optional list of strings."""
    return Field(Kind.LIST, **_optional(facts))


def string_set(**facts: Any) -> Field:
    """An optional set of strings."""
    return Field(Kind.SET, **_optional(facts))


def one(elem: Block, **facts: Any) -> Field:
    """An optional single object."""
    return Field(Kind.LIST, elem=elem, max_one=True, **_optional(facts))


def objects(elem: Block, **facts: Any) -> Field:
    """An optional list of objects."""
    return Field(Kind.LIST, elem=elem, **_optional(facts))


def object_set(elem: Block, **facts: Any) -> Field:
    """An optional set of objects."""
    return Field(Kind.SET, elem=elem, **_optional(facts))


def _optional(facts: dict[str, Any]) -> dict[str, Any]:
    only_computed = facts.get("computed") and "optional" in facts
    return facts if facts.get("required") or only_computed else {"optional": True, **facts}


def labels(*, force_new: bool) -> Block:
    """The elements of a set of labels."""
    return {"label": text(required=True, force_new=force_new), "value": text(required=True, force_new=force_new)}


def matches(pattern: str) -> Check:
    """The value must match."""
    compiled = re.compile(pattern)
    return lambda value: None if compiled.search(str(value)) else f"'{value}' doesn't match the pattern '{pattern}'"


def one_of(*allowed: str) -> Check:
    """The value must be in a closed list."""
    shown = " ".join(f'"{item}"' for item in allowed)
    return lambda value: None if value in allowed else f"expected one of [{shown}], got {value}"


def at_least(least: int) -> Check:
    """The number must not be lower."""
    return lambda value: None if int(value) >= least else f"'{value}' cannot be lower than {least}"


def duration(value: Any) -> str | None:
    """A duration as Go writes it, not negative."""
    try:
        nanoseconds = parse_duration(str(value))
    except ValueError:
        return f"'{value}' is not a valid duration"
    return None if nanoseconds >= 0 else f"'{value}' duration must not be negative"


def ratio(value: Any) -> str | None:
    """A float between 0 and 1."""
    try:
        number = float(value)
    except ValueError:
        return f"'{value}' is not a float"
    return None if 0.0 <= number <= 1.0 else f"'{value}' has to be between 0.0 and 1.0"


def same_ratio(old: str, new: str) -> bool:
    """`0.0` and `0` are the same ratio."""
    try:
        return float(old) == float(new)
    except ValueError:
        return False


def base64_text(value: Any) -> str | None:
    """Standard base64."""
    try:
        base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        return f"'{value}' is not base64 decodeable"
    return None
