"""The schema of the containers of a Swarm service."""

from __future__ import annotations

from bridge.schema import Block

from .fields import (
    at_least,
    duration,
    flag,
    labels,
    mapping,
    matches,
    number,
    object_set,
    one,
    strings,
    text,
)

_PRIVILEGES: Block = {
    "credential_spec": one({"file": text(), "registry": text()}),
    "se_linux_context": one({"disable": flag(), "user": text(), "role": text(), "type": text(), "level": text()}),
}

_MOUNT: Block = {
    "target": text(required=True),
    "source": text(),
    "type": text(required=True, check=matches("^(bind|volume|tmpfs)$")),
    "read_only": flag(),
    "bind_options": one(
        {"propagation": text(default="rprivate", check=matches("^(private|rprivate|shared|rshared|slave|rslave)$"))}
    ),
    "volume_options": one(
        {
            "no_copy": flag(),
            "labels": object_set(labels(force_new=True)),
            "driver_name": text(),
            "driver_options": mapping(),
        }
    ),
    "tmpfs_options": one({"size_bytes": number(), "mode": number()}),
}

_HEALTHCHECK: Block = {
    "test": strings(plural="tests"),
    "interval": text(default="0s", check=duration),
    "timeout": text(default="0s", check=duration),
    "start_period": text(default="0s", check=duration),
    "retries": number(default=0, check=at_least(0)),
}


def _file(kind: str) -> Block:
    return {
        f"{kind}_id": text(required=True),
        f"{kind}_name": text(),
        "file_name": text(required=True),
        "file_uid": text(default="0"),
        "file_gid": text(default="0"),
        "file_mode": number(default=0o444, check=at_least(0)),
    }


CONTAINER: Block = {
    "image": text(required=True),
    "labels": object_set(labels(force_new=True)),
    "command": strings(plural="commands"),
    "args": strings(),
    "hostname": text(),
    "env": mapping(),
    "dir": text(),
    "user": text(),
    "groups": strings(),
    "privileges": one(_PRIVILEGES),
    "read_only": flag(),
    "mounts": object_set(_MOUNT),
    "stop_signal": text(),
    "stop_grace_period": text(computed=True, check=duration),
    "healthcheck": one(_HEALTHCHECK, computed=True),
    "hosts": object_set(
        {"ip": text(required=True, force_new=True), "host": text(required=True, force_new=True)}, force_new=True
    ),
    "dns_config": one(
        {"nameservers": strings(required=True), "search": strings(plural="searches"), "options": strings()},
        computed=True,
    ),
    "secrets": object_set(_file("secret")),
    "configs": object_set(_file("config")),
    "isolation": text(default="default", check=matches("^(default|process|hyperv)$")),
    "sysctl": mapping(force_new=True),
    "cap_add": strings(plural="capAdds"),
    "cap_drop": strings(plural="capDrops"),
    "init": flag(computed=True),
}
