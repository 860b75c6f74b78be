"""What a change does to each runtime: nothing, a restart, or a redeployment (requirement R-C3)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pulumi


class Action(StrEnum):
    """``restart``: the same recipe with another core, image or configuration. ``redeploy``: another recipe, or new."""

    NONE = "none"
    RESTART = "restart"
    REDEPLOY = "redeploy"


def action(name: str, before: Mapping[str, Any], service: str, recipe: str) -> Action:
    """The action for one runtime, comparing what runs (``before``: the stack's last outputs) with what is wanted.

    ``recipe`` is ``<recipe>-<core>``: a changed recipe is loaded and the service redeployed; a changed core alone is a
    restart with exactly the settings it was deployed with.
    """
    if (before.get("services") or {}).get(name) == service:
        return Action.NONE
    running = (before.get("recipes") or {}).get(name)
    if running is None or running.partition("-")[0] != recipe.partition("-")[0]:
        return Action.REDEPLOY
    return Action.RESTART


def of_last_change(
    before: Mapping[str, Any], services: Mapping[str, str], recipes: Mapping[str, str]
) -> dict[str, str]:
    """The actions of the last change: those of this plan, or the recorded ones when this plan changes nothing."""
    if before.get("services") == dict(services) and before.get("actions"):
        return dict(before["actions"])
    return {name: action(name, before, services[name], recipes[name]).value for name in services}


def actions(environment: str, services: Mapping[str, str], recipes: Mapping[str, str]) -> pulumi.Output[dict[str, str]]:
    """The actions of this plan, against the outputs that this very stack recorded when it was last deployed."""
    own = pulumi.StackReference(f"{pulumi.get_organization()}/{pulumi.get_project()}/{environment}")
    return own.outputs.apply(lambda before: of_last_change(before, services, recipes))
