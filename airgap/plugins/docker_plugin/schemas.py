"""The schemas of the small resource types."""

from __future__ import annotations

from bridge.schema import Block, ResourceSchema

from .fields import base64_text, flag, labels, mapping, object_set, one, one_of, text

_IPAM: Block = {
    "subnet": text(force_new=True),
    "ip_range": text(force_new=True),
    "gateway": text(force_new=True),
    "aux_address": mapping(force_new=True),
}

_CLUSTER: Block = {
    "id": text(computed=True, optional=False),
    "scope": text(force_new=True, default="single", check=one_of("single", "multi")),
    "sharing": text(force_new=True, default="none", check=one_of("none", "readonly", "onewriter", "all")),
    "type": text(force_new=True, default="block", check=one_of("mount", "block")),
    "topology_preferred": text(force_new=True, default=""),
    "topology_required": text(force_new=True, default=""),
    "required_bytes": text(force_new=True),
    "limit_bytes": text(force_new=True),
    "group": text(force_new=True, default=""),
    "availability": text(default="active", check=one_of("active", "pause", "drain")),
}

NETWORK = ResourceSchema(
    "docker:index/network:Network",
    {
        "name": text(required=True, force_new=True, auto_name=True),
        "labels": object_set(labels(force_new=True), force_new=True),
        "driver": text(computed=True, force_new=True),
        "options": mapping(computed=True, force_new=True),
        "internal": flag(computed=True, force_new=True),
        "attachable": flag(force_new=True),
        "ingress": flag(force_new=True),
        "ipv6": flag(force_new=True),
        "ipam_driver": text(force_new=True, default="default"),
        "ipam_options": mapping(force_new=True),
        "ipam_config": object_set(_IPAM, computed=True, force_new=True, plural="ipamConfigs"),
        "scope": text(computed=True, optional=False),
    },
    version=1,
)

VOLUME = ResourceSchema(
    "docker:index/volume:Volume",
    {
        "name": text(computed=True, force_new=True, auto_name=True),
        "labels": object_set(labels(force_new=True), force_new=True),
        "driver": text(computed=True, force_new=True),
        "driver_opts": mapping(force_new=True),
        "mountpoint": text(computed=True, optional=False),
        "cluster": one(_CLUSTER),
    },
    version=1,
)

SECRET = ResourceSchema(
    "docker:index/secret:Secret",
    {
        "name": text(required=True, force_new=True, auto_name=True),
        "data": text(
            required=True,
            force_new=True,
            sensitive=True,
            check=base64_text,
            doc="Base64-url-safe-encoded secret data",
        ),
        "labels": object_set(labels(force_new=True), force_new=True),
    },
    version=1,
    importable=False,
)

CONFIG = ResourceSchema(
    "docker:index/serviceConfig:ServiceConfig",
    {
        "name": text(required=True, force_new=True, auto_name=True),
        "data": text(force_new=True, exactly_one_of=("data", "data_raw"), check=base64_text),
        "data_raw": text(force_new=True, exactly_one_of=("data", "data_raw")),
        "labels": object_set(labels(force_new=True), force_new=True),
    },
)
