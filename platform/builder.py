"""The buildx builder `stele`: the name under which Docker's tools find the BuildKit daemon."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from home import Home, read_json
from parts import environment, find_program
from problem import Problem

NAME = "stele"
PLUGIN_FOLDERS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", "/usr/local/lib/docker/cli-plugins")


def registered(home: Home) -> bool:
    """Whether the builder exists and points at this checkout's BuildKit daemon."""
    instance = read_json(home.docker_config / "buildx" / "instances" / NAME)
    nodes = instance.get("Nodes") or [{}]
    return (
        instance.get("Driver") == "remote"
        and nodes[0].get("Endpoint") == f"unix://{home.run}/buildkit.sock"
        and os.access(plugin(home), os.X_OK)
    )


def plugin(home: Home) -> Path:
    return home.docker_config / "cli-plugins" / "docker-buildx"


def register(home: Home) -> None:
    """Link buildx as a plugin of the docker CLI and create the builder; Problem when buildx refuses."""
    link = plugin(home)
    if os.access(link, os.X_OK):
        program = str(link)
    else:
        program = _find_buildx(home)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(program)
    environ = environment(dict(os.environ)) | {"DOCKER_CONFIG": str(home.docker_config)}
    endpoint = f"unix://{home.run}/buildkit.sock"
    (home.docker_config / "buildx" / "instances" / NAME).unlink(missing_ok=True)
    command = [program, "create", "--name", NAME, "--driver", "remote", endpoint]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    if result.returncode:
        raise Problem(f"buildx create refuses {endpoint}", result.stderr.strip().replace("\n", " "))


def _find_buildx(home: Home) -> str:
    for folder in PLUGIN_FOLDERS:
        if os.access(f"{folder}/docker-buildx", os.X_OK):
            return f"{folder}/docker-buildx"
    return find_program(home, ("buildx", "docker-buildx"), "run `make dev`, which installs it, or put it on PATH")
