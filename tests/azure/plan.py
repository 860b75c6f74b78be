"""A plan of `pulumi preview --json` as text that a person can review."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
STACK = "pulumi:pulumi:Stack"


def readable(preview: dict[str, Any]) -> str:
    """Each resource with what is asked of it. What only Azure can say is shown as `<of RESOURCE>`."""
    steps = [step for step in preview["steps"] if step["op"] != "same" and STACK not in step["urn"]]
    return "\n".join(line for step in sorted(steps, key=_place) for line in _resource(step)) + "\n"


def _place(step: dict[str, Any]) -> tuple[str, ...]:
    """Components before what is in them, and these by name."""
    state = step.get("newState") or step["oldState"]
    parent = name_of(state.get("parent", ""))
    return (name_of(step["urn"]), "") if not state.get("custom") else (parent, name_of(step["urn"]))


def _resource(step: dict[str, Any]) -> Iterator[str]:
    state = step.get("newState") or step["oldState"]
    options = [name for name in ("protect", "retainOnDelete") if state.get(name)]
    yield " ".join([step["op"], state["type"], name_of(step["urn"]), *(f"[{name}]" for name in options)])
    if step["op"] == "create":
        sources = state.get("propertyDependencies") or {}
        named = {urn for urns in sources.values() for urn in urns}
        for key, value in sorted((state.get("inputs") or {}).items()):
            origin = ", ".join(map(name_of, sources.get(key) or []))
            yield from _lines(f"    {key}", value, f"<of {origin}>")
        for urn in sorted(set(state.get("dependencies") or []) - named):
            yield f"    (after {name_of(urn)})"
    for path, change in sorted((step.get("detailedDiff") or {}).items()):
        yield f"    {path}: {change['kind']}"


def _lines(path: str, value: Any, unknown: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in sorted(value.items()):
            yield from _lines(f"{path}.{key}", inner, unknown)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _lines(f"{path}[{index}]", inner, unknown)
    elif isinstance(value, str):
        yield f"{path}: {value.replace(UNKNOWN, unknown)}"
    else:
        yield f"{path}: {str(value).lower()}"


def name_of(urn: str) -> str:
    """A resource's own name."""
    return urn.rsplit("::", 1)[-1]
