"""Swarm mode of the engine in use: on loopback, and only where nobody else's Swarm is."""

from __future__ import annotations

import ipaddress
import time
from pathlib import Path
from typing import Any

from engine import Choice
from home import Home, read_json, write_json
from machine import is_mine
from problem import Problem
from settings import Settings
from wire import Engine

HISTORY = 10
"""Ended tasks kept per slot, so that the logs of a failed one can still be read."""
POOLS = ("10.210.0.0/16", "10.211.0.0/16", "172.30.0.0/16", "192.168.192.0/18", "10.0.0.0/8")


def ensure(home: Home, choice: Choice, settings: Settings) -> str:
    """Have a usable Swarm; the line to print. Problem when it is somebody else's."""
    engine = choice.engine
    swarm = _settled(choice)
    state = swarm["LocalNodeState"]
    if state == "inactive":
        return _initialise(home, choice, settings)
    if state != "active":
        raise Problem(f"the Swarm of {engine.host} is {state}", "run `docker swarm leave --force` there, or mend it")
    if not swarm["ControlAvailable"]:
        managers = ", ".join(str(row["Addr"]) for row in swarm["RemoteManagers"] or [])
        raise Problem(
            f"{engine.host} is a worker of the Swarm of {managers}",
            "unset DOCKER_HOST or use another engine: a worker cannot deploy, and the Swarm is not ours to leave",
        )
    if swarm.get("Nodes", 1) > 1:
        raise Problem(
            f"{engine.host} manages a Swarm of {swarm['Nodes']} nodes",
            "use another engine: images on a loopback registry cannot reach the other nodes",
        )
    return "Swarm is active" if is_ours(home) else "Swarm was active already; it will be left as it is"


def _settled(choice: Choice) -> dict[str, Any]:
    """The engine's answer about its Swarm, once a restarted manager of our own leads again (30 s at most)."""
    deadline = time.monotonic() + 30
    while True:
        swarm: dict[str, Any] = choice.engine.get("/info")["Swarm"]
        rising = swarm["LocalNodeState"] == "pending" or (
            choice.ours and swarm["LocalNodeState"] == "active" and not swarm["ControlAvailable"]
        )
        if not rising or time.monotonic() > deadline:
            return swarm
        time.sleep(0.2)


def check_settings(home: Home, settings: Settings) -> Problem | None:
    """A Problem when the Swarm in the data was made with other ports: Docker cannot move them."""
    stored = read_json(home.data / "engine" / "swarm" / "docker-state.json")
    wanted = f"{settings.swarm_address}:{settings.swarm_port}"
    if not stored or (stored.get("ListenAddr"), stored.get("DataPathPort")) == (wanted, settings.data_path_port):
        return None
    return Problem(
        f"the Swarm of this checkout listens on {stored.get('ListenAddr')} (VXLAN {stored.get('DataPathPort')}), "
        f"the settings say {wanted} (VXLAN {settings.data_path_port})",
        "unset STELE_SWARM_* and STELE_DATA_PATH_PORT, or start anew with `platform/local stop --delete-data`",
    )


def is_ours(home: Home) -> bool:
    """Whether this checkout initialised the Swarm."""
    return bool(read_json(home.conf / "swarm.json").get("ours"))


def _initialise(home: Home, choice: Choice, settings: Settings) -> str:
    pool = free_pool(routes())
    request = {
        "ListenAddr": f"{settings.swarm_address}:{settings.swarm_port}",
        "AdvertiseAddr": settings.swarm_address,
        "DataPathAddr": settings.swarm_address,
        "DataPathPort": settings.data_path_port,
        "DefaultAddrPool": [pool],
        "SubnetSize": 24,
        "Spec": {"Orchestration": {"TaskHistoryRetentionLimit": HISTORY}},
    }
    choice.engine.call("POST", "/swarm/init", request)
    write_json(home.conf / "swarm.json", {"ours": True})
    return f"Swarm initialised on {request['ListenAddr']} (it was inactive), overlay networks from {pool}"


def routes() -> list[ipaddress.IPv4Network]:
    """The IPv4 networks that this machine routes to, the default route left out."""
    found = []
    for row in Path("/proc/net/route").read_text().splitlines()[1:]:
        columns = row.split()
        address, mask = (int.from_bytes(bytes.fromhex(columns[i])[::-1], "big") for i in (1, 7))
        if mask:
            found.append(ipaddress.IPv4Network((address, mask.bit_count())))
    return found


def free_pool(used: list[ipaddress.IPv4Network]) -> str:
    """The first address pool for overlay networks that hides nothing this machine talks to."""
    for pool in POOLS:
        if not any(ipaddress.IPv4Network(pool).overlaps(network) for network in used):
            return pool
    return POOLS[-1]


def leave_foreign(home: Home, engine: Engine) -> str:
    """Leave the Swarm of an engine that is not ours, if we initialised it and nobody else uses it."""
    if not is_ours(home):
        return "the Swarm of the machine's engine stays as it was"
    others = [row["Spec"]["Name"] for row in engine.get("/services") if not is_mine(home, row)]
    if others:
        return f"the Swarm stays: others use it by now (service {others[0]})"
    engine.call("POST", "/swarm/leave?force=true")
    (home.conf / "swarm.json").unlink(missing_ok=True)
    return "left the Swarm that `up` had initialised"
