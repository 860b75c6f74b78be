"""The failures that a plugin tells the engine about."""

from __future__ import annotations

from typing import Any


class PluginError(Exception):
    """One clear line for the person at the terminal."""


class PartialError(PluginError):
    """The operation failed, but the resource exists: the engine must keep `properties` in the state."""

    def __init__(self, message: str, identity: str, attributes: dict[str, Any]) -> None:
        super().__init__(message)
        self.identity = identity
        self.attributes = attributes


def listed(message: str) -> str:
    """An error as upstream's library prints a list of one."""
    return f"1 error occurred:\n\t* {message}\n\n"
