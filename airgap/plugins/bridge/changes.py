"""The differences between two sets of inputs whose plugin has no schema of them."""

from __future__ import annotations

from typing import Any

from .detailed import ADD, DELETE, UPDATE, Path, path_text


def differences(old: dict[str, Any], new: dict[str, Any], path: Path = ()) -> dict[str, int]:
    """Property path -> kind."""
    found: dict[str, int] = {}
    for key in {**old, **new}:
        found |= _values((*path, key), old.get(key), new.get(key))
    return found


def _values(path: Path, old: Any, new: Any) -> dict[str, int]:
    if old is None and new is None:
        return {}
    if old is None or new is None:
        return {path_text(path): ADD if old is None else DELETE}
    if isinstance(old, dict) and isinstance(new, dict):
        return differences(old, new, path)
    if isinstance(old, list) and isinstance(new, list):
        found: dict[str, int] = {}
        for index in range(max(len(old), len(new))):
            if index >= len(old) or index >= len(new):
                found[path_text((*path, index))] = ADD if index >= len(old) else DELETE
            else:
                found |= _values((*path, index), old[index], new[index])
        return found
    return {} if old == new and type(old) is type(new) else {path_text(path): UPDATE}
