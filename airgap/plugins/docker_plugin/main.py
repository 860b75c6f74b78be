"""The `docker` plugin: its configuration, its resource types and its one function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bridge.errors import PluginError
from bridge.provider import UpstreamProvider
from bridge.refusal import Official
from bridge.schema import Block
from bridge.serve import serve
from bridge.upstream import Backend, Upstream

from .engine import Engine, Settings
from .fields import flag, object_set, strings, text
from .lookup import get_network
from .schemas import CONFIG, NETWORK, SECRET, VOLUME
from .service_schema import SERVICE
from .services import Services
from .small import Files, Networks, Volumes
from .waiting import Clock

OFFICIAL = Official("docker", "5.2.0")
CONFIGURATION: Block = {
    "host": text(),
    "context": text(),
    "ssh_opts": strings(),
    "ca_material": text(),
    "cert_material": text(),
    "key_material": text(sensitive=True),
    "cert_path": text(),
    "registry_auth": object_set(
        {
            "address": text(required=True),
            "username": text(),
            "password": text(sensitive=True),
            "auth_disabled": flag(),
            "config_file": text(),
            "config_file_content": text(),
        }
    ),
    "disable_docker_daemon_check": flag(),
}


def settings(config: dict[str, Any]) -> Settings:
    """Where the engine is: the provider's configuration first, then the usual environment. Raises PluginError."""
    if config.get("context") or os.environ.get("DOCKER_CONTEXT"):
        raise PluginError(OFFICIAL.refuse("a Docker context as the provider's configuration"))
    auths = {}
    for entry in _registries(config.get("registryAuth")):
        if entry.get("configFile") or entry.get("configFileContent"):
            raise PluginError(OFFICIAL.refuse("registryAuth with a configuration file"))
        address = str(entry.get("address", "")).removeprefix("https://").removeprefix("http://").rstrip("/")
        auths[address] = {
            "username": entry.get("username") or "",
            "password": entry.get("password") or "",
            "serveraddress": address,
        }
    environment = os.environ.get
    return Settings(
        host=config.get("host") or environment("DOCKER_HOST") or Settings.host,
        ca=config.get("caMaterial") or environment("DOCKER_CA_MATERIAL", ""),
        cert=config.get("certMaterial") or environment("DOCKER_CERT_MATERIAL", ""),
        key=config.get("keyMaterial") or environment("DOCKER_KEY_MATERIAL", ""),
        cert_path=config.get("certPath") or environment("DOCKER_CERT_PATH", ""),
        auths=auths,
    )


def _registries(value: Any) -> list[dict[str, Any]]:
    """The engine hands nested configuration over as JSON text."""
    import json

    if isinstance(value, str):
        value = json.loads(value)
    return value if isinstance(value, list) else []


class DockerProvider(UpstreamProvider):
    """All of it."""

    def __init__(self) -> None:
        self.engine = Engine(Settings())
        super().__init__(
            OFFICIAL,
            CONFIGURATION,
            self._configured,
            {"docker:index/getNetwork:getNetwork": lambda args: get_network(self.engine, args)},
        )

    def _configured(self, config: dict[str, Any]) -> Mapping[str, Upstream]:
        self.engine = Engine(settings(config))
        clock = Clock(self.stop)
        backends: list[tuple[Any, Backend]] = [
            (NETWORK, Networks(self.engine, clock)),
            (VOLUME, Volumes(self.engine, clock)),
            (SECRET, Files(self.engine, "secrets")),
            (CONFIG, Files(self.engine, "configs")),
            (SERVICE, Services(self.engine, clock)),
        ]
        return {schema.token: Upstream(schema, backend) for schema, backend in backends}


def main() -> None:
    """Serve until the engine is done."""
    provider = DockerProvider()
    serve(provider, provider.stop)
