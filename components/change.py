"""What a change does to each runtime: nothing, a restart, or a redeployment (requirement R-C3)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pulumi

_TRIES = 50  # a tenth of a second apart


class Action(StrEnum):
    """``restart``: the same recipe with another core, image or configuration. ``redeploy``: another recipe, or new."""

    NONE = "none"
    RESTART = "restart"
    REDEPLOY = "redeploy"


def action(name: str, before: Mapping[str, Any], service: str, wiring: str) -> Action:
    """The action for one runtime, comparing what runs (``before``: the stack's last outputs) with what is wanted.

    ``wiring`` is the fingerprint of how it is started and wired: another one is loaded and the service redeployed;
    anything else (core, image, configuration) is a restart with exactly the settings it was deployed with.
    """
    if (before.get("services") or {}).get(name) == service:
        return Action.NONE
    if (before.get("wirings") or {}).get(name) != wiring:
        return Action.REDEPLOY
    return Action.RESTART


def of_last_change(
    before: Mapping[str, Any], services: Mapping[str, str], wirings: Mapping[str, str]
) -> dict[str, str]:
    """The actions of the last change: those of this plan, or the recorded ones when this plan changes nothing."""
    if before.get("services") == dict(services) and before.get("actions"):
        return dict(before["actions"])
    return {name: action(name, before, services[name], wirings[name]).value for name in services}


def recorded_now(environment: str) -> dict[str, Any]:
    """The outputs that this very stack recorded when it was last deployed; none for a new stack.

    By the call behind StackReference, which cannot be asked again. The running update writes the stack's state while
    this reads it, and the file backend writes a state's attributes in place: who comes between gets an end of file. A
    moment later they are whole.
    """
    own = f"{pulumi.get_organization()}/{pulumi.get_project()}/{environment}"
    for _ in range(_TRIES):
        try:
            answer: Any = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": own}).value
        except Exception as error:  # the SDK raises nothing more precise
            if "EOF" not in str(error):
                raise
            time.sleep(0.1)
        else:
            return dict((answer or {}).get("outputs") or {})
    raise RuntimeError(f"the state of {own} cannot be read: look at it with `pulumi stack export`")
