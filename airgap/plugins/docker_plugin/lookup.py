"""The function docker:index/getNetwork:getNetwork."""

from __future__ import annotations

from typing import Any

from bridge.errors import PluginError
from bridge.schema import UNKNOWN

from .engine import Engine, EngineError, path_of


def get_network(engine: Engine, args: dict[str, Any]) -> dict[str, Any]:
    """What is known about the network called `args["name"]`. Raises PluginError."""
    name = args.get("name")
    if name is UNKNOWN:
        return {}
    if not isinstance(name, str) or not name:
        raise PluginError("invoking docker:index/getNetwork:getNetwork: Missing required property 'name'")
    try:
        found = engine.get(path_of("networks", name))
    except EngineError as error:
        raise PluginError(
            f"invoking docker:index/getNetwork:getNetwork: 1 error occurred:\n\t* "
            f"Could not find docker network: {error}\n\n"
        ) from None
    return {
        "id": found["Id"],
        "name": found["Name"],
        "scope": found["Scope"],
        "driver": found["Driver"],
        "options": found.get("Options") or {},
        "internal": found["Internal"],
        "ipamConfigs": [
            {
                "subnet": pool.get("Subnet") or "",
                "gateway": pool.get("Gateway") or "",
                "auxAddress": pool.get("AuxiliaryAddresses") or {},
                "ipRange": pool.get("IPRange") or "",
            }
            for pool in (found.get("IPAM") or {}).get("Config") or []
        ],
        "containers": [
            {
                "containerId": identity,
                "name": container.get("Name") or "",
                "endpointId": container.get("EndpointID") or "",
                "macAddress": container.get("MacAddress") or "",
                "ipv4Address": container.get("IPv4Address") or "",
                "ipv6Address": container.get("IPv6Address") or "",
            }
            for identity, container in sorted((found.get("Containers") or {}).items())
        ],
    }
