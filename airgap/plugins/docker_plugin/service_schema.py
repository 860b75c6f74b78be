"""The schema of a Swarm service."""

from __future__ import annotations

from bridge.schema import Block, ResourceSchema

from .container_schema import CONTAINER
from .fields import (
    at_least,
    duration,
    flag,
    labels,
    mapping,
    matches,
    number,
    object_set,
    objects,
    one,
    ratio,
    same_ratio,
    string_set,
    text,
)

_RESOURCES: Block = {
    "limits": one({"nano_cpus": number(), "memory_bytes": number()}),
    "reservation": one(
        {
            "nano_cpus": number(),
            "memory_bytes": number(),
            "generic_resources": one(
                {
                    "named_resources_spec": string_set(plural="namedResourcesSpecs"),
                    "discrete_resources_spec": string_set(plural="discreteResourcesSpecs"),
                }
            ),
        }
    ),
}

_RESTART: Block = {
    "condition": text(check=matches("^(none|on-failure|any)$")),
    "delay": text(check=duration),
    "max_attempts": number(check=at_least(0)),
    "window": text(check=duration),
}

_PLACEMENT: Block = {
    "constraints": string_set(),
    "prefs": string_set(),
    "max_replicas": number(check=at_least(0)),
    "platforms": object_set({"architecture": text(required=True), "os": text(required=True)}),
}

_NETWORK: Block = {
    "name": text(force_new=True, deprecated=True),
    "id": text(force_new=True),
    "aliases": string_set(force_new=True),
    "driver_opts": string_set(force_new=True),
}

_TASK: Block = {
    "container_spec": one(CONTAINER, required=True),
    "resources": one(_RESOURCES, computed=True),
    "restart_policy": one(_RESTART, computed=True),
    "placement": one(_PLACEMENT, computed=True),
    "force_update": number(computed=True, check=at_least(0)),
    "runtime": text(computed=True, check=matches("^(container|plugin)$")),
    "networks_advanced": object_set(_NETWORK, plural="networksAdvanceds"),
    "log_driver": one({"name": text(required=True), "options": mapping()}),
}


def _rollout(failures: str, orders: str) -> Block:
    return {
        "parallelism": number(default=1, check=at_least(0)),
        "delay": text(default="0s", check=duration),
        "failure_action": text(default="pause", check=matches(failures)),
        "monitor": text(default="5s", check=duration),
        "max_failure_ratio": text(default="0.0", check=ratio, same=same_ratio),
        "order": text(default="stop-first", check=matches(orders)),
    }


_PORT: Block = {
    "name": text(),
    "protocol": text(default="tcp", check=matches("^(tcp|udp|sctp)$")),
    "target_port": number(required=True),
    "published_port": number(computed=True),
    "publish_mode": text(default="ingress", check=matches("^(host|ingress)$")),
}

_MODE: Block = {
    "replicated": one(
        {"replicas": number(default=1, check=at_least(0))}, computed=True, conflicts_with=("mode.0.global",)
    ),
    "global": flag(default=False, conflicts_with=("mode.0.replicated", "converge_config")),
}

SERVICE = ResourceSchema(
    "docker:index/service:Service",
    {
        "auth": one(
            {
                "server_address": text(required=True, force_new=True),
                "username": text(force_new=True, default=""),
                "password": text(force_new=True, default="", sensitive=True),
            },
            force_new=True,
        ),
        "name": text(required=True, force_new=True, auto_name=True),
        "labels": object_set(labels(force_new=False), computed=True),
        "task_spec": one(_TASK, required=True, doc="User modifiable task configuration"),
        "mode": one(_MODE, computed=True, force_new=True),
        "update_config": one(_rollout("^(pause|continue|rollback)$", "^(stop-first|start-first)$")),
        "rollback_config": one(_rollout("(pause|continue)", "(stop-first|start-first)")),
        "endpoint_spec": one(
            {"mode": text(computed=True, check=matches("^(vip|dnsrr)$")), "ports": objects(_PORT)}, computed=True
        ),
        "converge_config": one(
            {"delay": text(default="7s", check=duration), "timeout": text(default="3m", check=duration)},
            conflicts_with=("mode.0.global",),
        ),
    },
    version=2,
)
