"""Inputs for the tests on a real engine, after the check; they mirror the recorded ones."""

from __future__ import annotations

import base64
from typing import Any

from .conftest import IMAGE
from .plugin import Json, Plugin

NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
SECRET = "docker:index/secret:Secret"
CONFIG = "docker:index/serviceConfig:ServiceConfig"
SERVICE = "docker:index/service:Service"
SERVE = (
    "mkdir -p /tmp/w; cd /tmp/w; echo {} > index.html; trap 'kill $P; exit 0' TERM; httpd -f -p 8080 & P=$!; wait $P"
)
PROBE = "wget -q -O- http://127.0.0.1:8080/ >/dev/null"


def urn(token: str, name: str) -> str:
    """The URN of a resource of a test."""
    return f"urn:pulumi:dev::test::{token}::{name}"


def encoded(text: str) -> str:
    """Base64, as secrets and configs want it."""
    return base64.b64encode(text.encode()).decode()


def checked(plugin: Plugin, token: str, name: str, given: Json, olds: Json | None = None) -> Json:
    """The inputs after the check, unmarked as the engine sends them on."""
    answer = plugin.call("Check", {"urn": urn(token, name), "news": given, "olds": olds or {}})
    assert "failures" not in answer, answer
    inputs: Json = unmarked(answer["inputs"])
    return inputs


def unmarked(value: Any) -> Any:
    """The same value without secret markers."""
    if isinstance(value, dict):
        if "4dabf18193072939515e22adb298388d" in value:
            return value["value"]
        return {key: unmarked(item) for key, item in value.items()}
    return [unmarked(item) for item in value] if isinstance(value, list) else value


def created(plugin: Plugin, token: str, name: str, given: Json) -> tuple[str, Json, Json]:
    """Identity, inputs and state of a new resource."""
    inputs = checked(plugin, token, name, given)
    answer = plugin.call("Create", {"urn": urn(token, name), "properties": inputs})
    return answer["id"], inputs, answer["properties"]


def web(
    name: str, *, text: str = "v1", healthy: bool = True, timeout: str = "40s", replicas: int = 2, **task: Any
) -> Json:
    """A service of small web servers with a health check."""
    return {
        "name": name,
        "convergeConfig": {"delay": "1s", "timeout": timeout},
        "endpointSpec": {"mode": "dnsrr"},
        "mode": {"replicated": {"replicas": replicas}},
        "taskSpec": {
            "containerSpec": {
                "image": IMAGE,
                "commands": ["sh", "-c", SERVE.format(text)],
                "env": {"VERSION": text},
                "healthcheck": {
                    "interval": "1s",
                    "timeout": "1s",
                    "retries": 2,
                    "tests": ["CMD-SHELL", PROBE if healthy else "false"],
                },
                "stopGracePeriod": "10s",
            },
            **task,
        },
    }


def shape(value: Any) -> Any:
    """A state with everything that varies from run to run reduced to its type."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__
