"""The differences between two sets of inputs."""

from __future__ import annotations

from typing import Any

from bridge.detailed import ADD, ADD_REPLACE, DELETE, DELETE_REPLACE, UPDATE, UPDATE_REPLACE, path_text

#: The only input whose appearance or disappearance as a whole replaces the resource.
REPLACING = {"triggers": {ADD: ADD_REPLACE, DELETE: DELETE_REPLACE, UPDATE: UPDATE_REPLACE}}


def differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, int]:
    """Property path -> kind."""
    found = _objects((), old, new)
    return {path: REPLACING.get(path, {}).get(kind, kind) for path, kind in found.items()}


def _objects(path: tuple[str | int, ...], old: dict[str, Any], new: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for key in {**old, **new}:
        found |= _values((*path, key), old.get(key), new.get(key))
    return found


def _values(path: tuple[str | int, ...], old: Any, new: Any) -> dict[str, int]:
    if old is None and new is None:
        return {}
    if old is None or new is None:
        return {path_text(path): ADD if old is None else DELETE}
    if isinstance(old, dict) and isinstance(new, dict):
        return _objects(path, old, new)
    if isinstance(old, list) and isinstance(new, list):
        found: dict[str, int] = {}
        for index in range(max(len(old), len(new))):
            if index >= len(old) or index >= len(new):
                found[path_text((*path, index))] = ADD if index >= len(old) else DELETE
            else:
                found |= _values((*path, index), old[index], new[index])
        return found
    return {} if old == new and type(old) is type(new) else {path_text(path): UPDATE}
