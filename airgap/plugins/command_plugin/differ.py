"""The differences between two sets of inputs."""

from __future__ import annotations

from typing import Any

from bridge import changes
from bridge.detailed import ADD, ADD_REPLACE, DELETE, DELETE_REPLACE, UPDATE, UPDATE_REPLACE

#: The only input whose appearance or disappearance as a whole replaces the resource.
REPLACING = {"triggers": {ADD: ADD_REPLACE, DELETE: DELETE_REPLACE, UPDATE: UPDATE_REPLACE}}


def differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, int]:
    """Property path -> kind."""
    found = changes.differences(old, new)
    return {path: REPLACING.get(path, {}).get(kind, kind) for path, kind in found.items()}
