"""The recorded creations, run again on a real engine: the answers have the recorded shape and values.

Only what the engine chooses (ids, addresses, paths) and what a test must rename differs.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from .conftest import IMAGE
from .plugin import Call, Json, Plugin, recorded
from .samples import CONFIG, NETWORK, SECRET, SERVE, SERVICE, VOLUME, created, encoded, urn

VARIES = {"gateway", "subnet", "mountpoint", "com.docker.network.driver.overlay.vxlanid_list"}


def creations(token: str) -> list[Call]:
    """The recorded creations of one type that worked, one of each distinct request."""
    seen: dict[str, Call] = {}
    for call in recorded("Create", plugin="docker"):
        if call.request["type"] == token and not call.errors:
            seen.setdefault(f"{call.scenario.split('-')[0]}-{call.request['name']}", call)
    return list(seen.values())


def without_engine_choices(value: Any, renamed: dict[Any, Any]) -> Any:
    """The state with ids and addresses replaced by their kind, and renamed things under their recorded names."""
    if isinstance(value, dict):
        return {key: "..." if key in VARIES else without_engine_choices(item, renamed) for key, item in value.items()}
    if isinstance(value, list):
        return [without_engine_choices(item, renamed) for item in value]
    if isinstance(value, str):
        value = renamed.get(value, value)
        return "<id>" if re.fullmatch(r"[0-9a-z]{25}", value) else value
    return renamed.get(value, value)


@pytest.mark.parametrize(
    "call", [*creations(NETWORK), *creations(VOLUME), *creations(SECRET), *creations(CONFIG)], ids=str
)
def test_small_resources_are_created_as_recorded(plugin: Plugin, prefix: str, call: Call) -> None:
    request = copy.deepcopy(call.request)
    name = f"{prefix}-{request['name']}"
    renamed = {name: request["properties"]["name"]}
    request["properties"]["name"] = name
    actual = plugin.call("Create", request)
    assert without_engine_choices(actual, renamed) == without_engine_choices(call.response, {})


@pytest.mark.parametrize("call", creations(SERVICE), ids=str)
def test_services_are_created_as_recorded(plugin: Plugin, prefix: str, call: Call) -> None:
    request, renamed = adapted(plugin, prefix, call)
    actual = plugin.call("Create", request)
    expected = without_engine_choices(call.response["properties"], {})
    assert without_engine_choices(actual["properties"], renamed) == expected


def adapted(plugin: Plugin, prefix: str, call: Call) -> tuple[Json, dict[Any, Any]]:
    """The recorded request with objects of this engine in place of the recorded ones; new value -> recorded value."""
    request = copy.deepcopy(call.request)
    properties = request["properties"]
    name, properties["name"] = properties["name"], f"{prefix}-{call.request['name']}"
    renamed: dict[Any, Any] = {properties["name"]: name}
    task, container = properties["taskSpec"], properties["taskSpec"]["containerSpec"]
    renamed[IMAGE], container["image"] = container["image"], IMAGE
    runnable(container, renamed)
    for kind, token in (("config", CONFIG), ("secret", SECRET)):
        for index, entry in enumerate(container.get(f"{kind}s", [])):
            identity, _, _ = created(plugin, token, "x", {"name": f"{prefix}-{kind}-{index}", "data": encoded("x")})
            renamed[f"{prefix}-{kind}-{index}"] = entry[f"{kind}Name"]
            entry[f"{kind}Id"], entry[f"{kind}Name"] = identity, f"{prefix}-{kind}-{index}"
    for entry in task.get("networksAdvanceds", []):
        given = {"name": f"{prefix}-net", "driver": "overlay", "attachable": True}
        identity = created(plugin, NETWORK, "net", given)[0]
        key = "id" if "id" in entry else "name"
        by_identity = without_engine_choices(entry[key], {}) == "<id>"
        renamed[f"{prefix}-net"], entry[key] = entry[key], identity if by_identity else f"{prefix}-net"
    for mount in container.get("mounts", []):
        renamed[f"{prefix}-{mount['source']}"], mount["source"] = mount["source"], f"{prefix}-{mount['source']}"
    for port in properties["endpointSpec"].get("ports", []):
        port["publishedPort"] += 11000
        renamed[port["publishedPort"]] = port["publishedPort"] - 11000
    return request, renamed


def runnable(container: Json, renamed: dict[Any, Any]) -> None:
    """The recorded images are not here: run something that lives as long, and remember what stood there."""
    for key in ("commands", "args"):
        for index, text in enumerate(container.get(key, [])):
            if "httpd" in text:
                container[key][index] = SERVE.format("v1")
                renamed[SERVE.format("v1")] = text
            elif text == "haproxy":
                container[key][index] = "true"
                renamed["true"] = text


def test_a_refresh_and_a_plan_after_it_change_nothing(plugin: Plugin, prefix: str) -> None:
    """Networks by id: this is the shape that the project builds on."""
    network, _, _ = created(plugin, NETWORK, "net", {"name": f"{prefix}-net", "driver": "overlay"})
    config, _, _ = created(plugin, CONFIG, "cfg", {"name": f"{prefix}-cfg", "data": encoded("a=1")})
    given = service_with(prefix, network, config)
    identity, inputs, state = created(plugin, SERVICE, "web", given)
    request = {"urn": urn(SERVICE, "web"), "id": identity, "properties": state, "inputs": inputs}
    found = plugin.call("Read", request)
    assert (found["id"], found["inputs"]) == (identity, inputs)
    for olds in (state, found["properties"]):
        plan = plugin.call("Diff", {"urn": urn(SERVICE, "web"), "id": identity, "olds": olds, "news": inputs})
        assert plan["changes"] == "DIFF_NONE"
        assert "detailedDiff" not in plan


def service_with(prefix: str, network: str, config: str) -> Json:
    """Everything that the project's services use."""
    return {
        "name": f"{prefix}-web",
        "labels": [{"label": "stele.runtime", "value": "web"}, {"label": "a", "value": "b"}],
        "convergeConfig": {"delay": "500ms", "timeout": "40s"},
        "endpointSpec": {
            "mode": "dnsrr",
            "ports": [{"targetPort": 8080, "publishedPort": 29477, "publishMode": "host"}],
        },
        "mode": {"replicated": {"replicas": 1}},
        "updateConfig": {"failureAction": "rollback", "order": "start-first", "parallelism": 1},
        "rollbackConfig": {"order": "start-first"},
        "taskSpec": {
            "forceUpdate": 0,
            "containerSpec": {
                "image": IMAGE,
                "commands": ["sh", "-c"],
                "args": [SERVE.format("v1")],
                "user": "0:0",
                "dir": "/tmp",
                "hostname": "web",
                "env": {"A": "1", "B": "x=y"},
                "init": True,
                "readOnly": False,
                "stopSignal": "SIGTERM",
                "stopGracePeriod": "10s",
                "capAdds": ["CAP_NET_ADMIN"],
                "capDrops": ["CAP_MKNOD"],
                "hosts": [{"host": "peer", "ip": "10.1.2.3"}],
                "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0"},
                "labels": [{"label": "tier", "value": "web"}],
                "dnsConfig": {"nameservers": ["127.0.0.11"], "options": ["ndots:0"]},
                "healthcheck": {"interval": "1s", "timeout": "1s", "retries": 3, "tests": ["CMD", "true"]},
                "configs": [{"configId": config, "configName": f"{prefix}-cfg", "fileName": "/etc/app.conf"}],
                "mounts": [
                    {"type": "volume", "source": f"{prefix}-data", "target": "/data", "readOnly": False},
                    {"type": "tmpfs", "target": "/scratch", "tmpfsOptions": {"sizeBytes": 1048576, "mode": 511}},
                    {"type": "bind", "source": "/tmp", "target": "/host", "readOnly": True},
                ],
            },
            "networksAdvanceds": [{"id": network, "aliases": ["api", "web"]}],
            "resources": {
                "limits": {"memoryBytes": 67108864, "nanoCpus": 500000000},
                "reservation": {"memoryBytes": 8388608},
            },
            "restartPolicy": {"condition": "on-failure", "delay": "1s", "maxAttempts": 3, "window": "10s"},
            "placement": {"constraints": ["node.role==manager"], "prefs": ["spread=node.id"], "maxReplicas": 2},
            "logDriver": {"name": "json-file", "options": {"max-size": "1m"}},
        },
    }
