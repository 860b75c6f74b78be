"""The state that a plan would have left behind, had there been an Azure to ask."""

from __future__ import annotations

import json
from typing import Any

from .plan import STACK, UNKNOWN, name_of

# What the stack's outputs say of an account that is there.
THERE = {"retention": 180, "locked": False}
OUTPUTS = {"bucket": "stele-acme", **THERE, "vendor": {"bucket": "stele-vendor", **THERE}}


def deployed(preview: dict[str, Any]) -> str:
    """For `pulumi stack import`: every created resource of a plan, with made-up answers where it waits for Azure."""
    resources = [_resource(step["newState"]) for step in preview["steps"]]
    manifest = {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""}
    state = {"manifest": manifest, "resources": [_provider(resources), *resources]}
    return json.dumps({"version": 3, "deployment": state}).replace(UNKNOWN, "11111111-2222-3333-4444-555555555555")


def _resource(state: dict[str, Any]) -> dict[str, Any]:
    if state["type"] == STACK:
        return state | {"outputs": OUTPUTS}
    if not state["custom"]:
        return state
    sources = state.get("propertyDependencies") or {}
    inputs = {key: _known(key, value, sources.get(key) or []) for key, value in state["inputs"].items()}
    made = _answer(state["urn"])
    outputs = inputs | dict.fromkeys(("name", "clientId", "principalId"), made) | {"primaryEndpoints": {"blob": made}}
    return state | {"id": made, "inputs": inputs, "outputs": outputs}


def _answer(urn: str) -> str:
    """Identity, name and whatever else is asked of one resource."""
    return f"/subscriptions/0/{name_of(urn)}"


def _known(key: str, value: Any, sources: list[str]) -> Any:
    if not sources:
        return value
    made = _answer(sources[0]) + ("/blobServices/default" if key == "resourceUri" else "")
    return json.loads(json.dumps(value).replace(UNKNOWN, made))


def _provider(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """The default provider, which plans refer to and do not list."""
    reference = next(entry["provider"] for entry in resources if entry.get("provider"))
    urn, _, identity = reference.rpartition("::")
    version = name_of(urn).removeprefix("default_").replace("_", ".")
    kind = "pulumi:providers:azure-native"
    return {"urn": urn, "custom": True, "id": identity, "type": kind, "inputs": {"version": version}}
