"""Check: what is wrong with a program's inputs, one line each."""

from __future__ import annotations

from typing import Any

from .schema import UNKNOWN, Block, Field, Kind, key_of, pulumi_name
from .translate import RESERVED, wrap


def failures(given: dict[str, Any], block: Block, resource: str) -> list[str]:
    """The reasons for refusing the inputs of `resource` (its name in the program); empty if they are fine."""
    found = _object(given, block, "", resource)
    return [*found, *_conflicts(given, block, resource)]


def _object(given: dict[str, Any], block: Block, path: str, resource: str) -> list[str]:
    found = []
    named = {name: key_of(name, block) for name in given if name not in RESERVED and given[name] is not None}
    for name, key in named.items():
        where = f"{path}.{name}" if path else name
        spec = block.get(key)
        if spec is None or not (spec.required or spec.optional):
            found.append(f"Invalid or unknown key. Examine values at '{resource}.{where}'.")
        else:
            found += _value(given[name], spec, where, resource)
    for key, spec in block.items():
        if spec.required and not spec.auto_name and key not in named.values():
            where = f"{path}.{pulumi_name(key, spec)}" if path else pulumi_name(key, spec)
            found.append(f"Missing required property '{where}'" + (f": {spec.doc}" if spec.doc else ""))
    return found


def _value(value: Any, spec: Field, where: str, resource: str) -> list[str]:
    value = wrap(spec, value)
    if value is UNKNOWN:
        return []
    if spec.kind in (Kind.LIST, Kind.SET):
        if spec.max_one and len(value) > 1:
            return [f"Too many list items: at most 1. Examine values at '{resource}.{where}'."]
        found = []
        for index, item in enumerate(value):
            at = where if spec.max_one else f"{where}[{index}]"
            if spec.elem is not None and isinstance(item, dict):
                found += _object(item, spec.elem, at, resource)
            elif item is not UNKNOWN and (spec.elem is not None or isinstance(item, dict | list)):
                found.append(_wrong_type("object" if spec.elem else "string", item, at, resource))
        return found
    if spec.kind is Kind.MAP:
        return [] if isinstance(value, dict) else [_wrong_type("map", value, where, resource)]
    return _scalar_faults(value, spec, where, resource)


def _scalar_faults(value: Any, spec: Field, where: str, resource: str) -> list[str]:
    if isinstance(value, dict | list):
        return [_wrong_type(spec.kind, value, where, resource)]
    if spec.kind is Kind.INT and not _whole(value):
        return [_wrong_type("number", value, where, resource)]
    if spec.kind is Kind.BOOL and not isinstance(value, bool) and str(value) not in ("true", "false", "0", "1"):
        return [_wrong_type("bool", value, where, resource)]
    if spec.check is None:
        return []
    reason = spec.check(int(value) if spec.kind is Kind.INT else value)
    return [f"{reason}. {reason}. Examine values at '{resource}.{where}'."] if reason else []


def _whole(value: Any) -> bool:
    try:
        int(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _wrong_type(wanted: str, value: Any, where: str, resource: str) -> str:
    return f"expected a {wanted}, got {type(value).__name__} '{value}'. Examine values at '{resource}.{where}'."


def _conflicts(given: dict[str, Any], block: Block, resource: str) -> list[str]:
    found = []
    for key, spec in _walk(block, ""):
        if not _present(given, key, block):
            continue
        where = f"'{resource}.{_shown(key, block)}'"
        others = [other for other in spec.conflicts_with if _present(given, other, block)]
        found += [f'"{key}": conflicts with {other}. Examine values at {where}.' for other in others]
    for key, spec in block.items():
        alternatives = spec.exactly_one_of
        if not alternatives or alternatives[0] != key:
            continue
        chosen = [name for name in alternatives if _present(given, name, block)]
        names = ",".join(alternatives)
        if len(chosen) > 1:
            found.append(f'"{key}": only one of `{names}` can be specified, but `{",".join(chosen)}` were specified.')
        elif not chosen:
            found.append(f'"{key}": one of `{names}` must be specified')
    return found


def _walk(block: Block, prefix: str) -> list[tuple[str, Field]]:
    out = []
    for key, spec in block.items():
        out.append((prefix + key, spec))
        if spec.elem is not None and spec.max_one:
            out += _walk(spec.elem, f"{prefix}{key}.0.")
    return out


def _present(given: dict[str, Any], path: str, block: Block) -> bool:
    """Whether the attribute path (`mode.0.global`) holds something other than null and false."""
    value: Any = given
    inner: Block | None = block
    for step in path.split("."):
        if step == "0":
            continue
        if inner is None or not isinstance(value, dict) or value is UNKNOWN:
            return False
        spec = inner.get(step)
        value = value.get(pulumi_name(step, spec))
        inner = spec.elem if spec else None
    return value is not None and value is not False and value != []


def _shown(path: str, block: Block) -> str:
    names = []
    inner: Block | None = block
    for step in path.split("."):
        if step != "0" and inner is not None:
            names.append(pulumi_name(step, inner.get(step)))
            spec = inner.get(step)
            inner = spec.elem if spec else None
    return ".".join(names)
