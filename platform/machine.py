"""What this checkout has on an engine that is not its own, found by label, and removing it."""

from __future__ import annotations

import time
from typing import Any

from home import Home
from problem import Problem
from wire import Engine

CHECKOUT = "stele.checkout"

# (list, delete, key) in an order that works: services hold networks, secrets and configs, containers volumes.
KINDS = (
    ("/services", "/services/{}", "ID"),
    ("/containers/json?all=true", "/containers/{}?force=true&v=true", "Id"),
    ("/configs", "/configs/{}", "ID"),
    ("/secrets", "/secrets/{}", "ID"),
    ("/networks", "/networks/{}", "Id"),
    ("/volumes", "/volumes/{}?force=true", "Name"),
)


def is_mine(home: Home, row: dict[str, Any]) -> bool:
    """Whether a service, volume, ... carries this checkout's label; without it, it may be a neighbour's data."""
    labels = row.get("Labels") or row.get("Spec", {}).get("Labels") or {}
    return bool(labels.get(CHECKOUT) == home.id)


def remove_labelled(home: Home, engine: Engine, patience: float = 90) -> int:
    """Remove what is ours; the number of things removed. `patience`: seconds for ended tasks to let go."""
    removed = 0
    deadline = time.monotonic() + patience
    swarm = engine.get("/info")["Swarm"]["ControlAvailable"]
    for listing, single, key in KINDS:
        if listing in ("/services", "/configs", "/secrets") and not swarm:
            continue
        answer = engine.get(listing)
        rows = answer["Volumes"] or [] if isinstance(answer, dict) else answer
        for row in rows:
            if is_mine(home, row):
                _delete(engine, single.format(row[key]), deadline)
                removed += 1
    return removed


def remove_services(home: Home, engine: Engine, patience: float = 90) -> int:
    """Remove our services and wait until their containers have ended; how many. `patience`: seconds for that."""
    if not engine.get("/info")["Swarm"]["ControlAvailable"]:
        return 0
    deadline = time.monotonic() + patience
    mine = {row["ID"] for row in engine.get("/services") if is_mine(home, row)}
    for service in mine:
        _delete(engine, f"/services/{service}", deadline)
    while time.monotonic() < deadline and _containers(engine, mine):
        time.sleep(0.5)
    return len(mine)


def _containers(engine: Engine, services: set[str]) -> list[str]:
    """The running containers of these services (ids)."""
    rows = engine.get("/containers/json")
    return [row["Id"] for row in rows if (row["Labels"] or {}).get("com.docker.swarm.service.id") in services]


def _delete(engine: Engine, route: str, deadline: float) -> None:
    while True:
        try:
            engine.call("DELETE", route)
        except Problem:
            # Tasks of a removed service hold its volumes and networks until they have shut down.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return
