"""Configuration objects: immutable, named by their content, shared by every generation that mounts the same content."""

from __future__ import annotations

import base64
from pathlib import PurePosixPath

import pulumi
import pulumi_docker as docker

from components import swarm
from components.manifest import fingerprint


class Configurations:
    """The configuration objects of one environment. Asking twice for the same content gives the same object.

    ``opts`` are for every object, such as the parent.
    """

    def __init__(self, environment: str, opts: pulumi.ResourceOptions) -> None:
        self._environment = environment
        self._opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["labels"]))
        self._made: dict[tuple[str, str], docker.ServiceConfig] = {}

    def of(self, path: str, text: str) -> docker.ServiceConfig:
        """The object that holds ``text`` for the file ``path``."""
        key = PurePosixPath(path).stem, text
        if key not in self._made:
            name = f"{key[0]}-{fingerprint(list(key))}"
            self._made[key] = docker.ServiceConfig(
                name,
                name=f"{self._environment}-{name}",
                data=base64.b64encode(text.encode()).decode(),
                labels=swarm.labels(docker.ServiceConfigLabelArgs, self._environment),
                opts=self._opts,
            )
        return self._made[key]
