"""The order and identity of set elements.

Upstream keeps sets in the order of a textual form of each element, and the official plugin shows them in that order.
"""

from __future__ import annotations

from typing import Any

from .schema import UNKNOWN, Field, Kind


def ordered(items: list[Any], spec: Field) -> list[Any]:
    """The elements in upstream's order, each once."""
    if spec.elem is None:
        known = sorted({item for item in items if isinstance(item, str)})
        return [*known, *(item for item in items if not isinstance(item, str))]
    seen: dict[str, Any] = {}
    unknown = []
    for item in items:
        if item is UNKNOWN or "?" in (text := object_text(item, spec)):
            unknown.append(item)
        else:
            seen.setdefault(text, item)
    return [*(seen[text] for text in sorted(seen, key=lambda text: text.encode())), *unknown]


def object_text(item: dict[str, Any], spec: Field) -> str:
    """The textual form of one object, attribute values in the order of their names."""
    assert spec.elem is not None
    return "<" + "".join(_text(item.get(key), spec.elem[key]) + ";" for key in sorted(spec.elem)) + ">"


def _text(value: Any, spec: Field) -> str:
    if value is UNKNOWN:
        return "?"
    if value is None:
        return "~"
    if spec.kind is Kind.MAP:
        return "{" + "".join(f"{_quoted(key)}:{_plain(value[key])};" for key in sorted(value)) + "}"
    if spec.elem is not None:
        return "[" + "".join(("?" if item is UNKNOWN else object_text(item, spec)) + ";" for item in value) + "]"
    if spec.is_collection:
        return "[" + "".join(_plain(item) + ";" for item in value) + "]"
    return _plain(value)


def _plain(value: Any) -> str:
    if value is UNKNOWN:
        return "?"
    if value is None:
        return "~"
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, int | float):
        return f"{value:.10g}"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


def identity(item: Any, spec: Field) -> str:
    """What makes two elements the same one: text in which null and the empty string do not differ."""
    if spec.elem is None:
        return str(item)
    return _member(item, spec)


def _member(item: Any, spec: Field) -> str:
    assert spec.elem is not None
    if not isinstance(item, dict):
        return "?"
    parts = []
    for key in sorted(spec.elem):
        inner = spec.elem[key]
        if inner.required or inner.optional:
            parts.append(f"{key}:{_part(item.get(key), inner)}")
    return "<" + "".join(parts) + ">"


def _part(value: Any, spec: Field) -> str:
    if value is None:
        return ";"
    if value is UNKNOWN:
        return "?;"
    if spec.kind is Kind.MAP:
        return "[" + "".join(f"{key}:{value[key]};" for key in sorted(value)) + "];"
    if spec.elem is not None:
        members = [_member(item, spec) for item in value]
        return "(" + "".join(sorted(members) if spec.kind is Kind.SET else members) + ");"
    if spec.is_collection:
        return "(" + "".join(f"{item};" for item in value) + ");"
    if isinstance(value, bool):
        return "1;" if value else "0;"
    return f"{value};"
