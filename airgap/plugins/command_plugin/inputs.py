"""Check: the inputs of a command."""

from __future__ import annotations

from typing import Any

from bridge.schema import UNKNOWN
from bridge.wire import reveal

_TEXT = ("create", "update", "delete", "stdin", "dir", "logging")
_TEXTS = ("interpreter", "assetPaths", "archivePaths")
KNOWN = {*_TEXT, *_TEXTS, "triggers", "environment", "addPreviousOutputInEnv"}
LOGGING = ("stdout", "stderr", "stdoutAndStderr", "none")


def checked(given: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The inputs that count, and what is wrong with them as (property, reason)."""
    inputs = {key: value for key, value in given.items() if key in KNOWN and value is not None}
    failures = [(key, reason) for key, value in inputs.items() if (reason := _fault(key, reveal(value)))]
    return inputs, failures


def _fault(key: str, value: Any) -> str:
    if value is UNKNOWN:
        return ""
    if key == "logging":
        return "" if value in LOGGING else f"'{value}' is not one of {', '.join(LOGGING)}"
    if key in _TEXT:
        return "" if isinstance(value, str) else f"expected a string, got {type(value).__name__}"
    if key in _TEXTS:
        return "" if _all_text(value) else "expected a list of strings"
    if key == "environment":
        fine = isinstance(value, dict) and _all_text(list(value.values()))
        return "" if fine else "expected a map of strings"
    if key == "triggers":
        return "" if isinstance(value, list) else f"expected a list, got {type(value).__name__}"
    return "" if isinstance(value, bool) else f"expected a bool, got {type(value).__name__}"


def _all_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) or item is UNKNOWN for item in value)
