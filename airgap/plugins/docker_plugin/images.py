"""Images of services: registry credentials, and the digest and platforms that a registry knows of an image."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from .engine import Engine, EngineError, path_of

Attributes = dict[str, Any]
DOCKER_HUB = ("registry-1.docker.io", "index.docker.io", "docker.io", "registry.hub.docker.com")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def registry_auth(wanted: Attributes, auths: dict[str, dict[str, str]]) -> str:
    """The credentials for the service's image as the value of `X-Registry-Auth`; those of an empty user if none."""
    own = (wanted.get("auth") or [{}])[0] or {}
    if wanted.get("auth"):
        chosen = {}
        if own.get("username") and own.get("password"):
            chosen = {
                "username": own["username"],
                "password": own["password"],
                "serveraddress": own.get("server_address") or "",
            }
    else:
        image = wanted["task_spec"][0]["container_spec"][0]["image"]
        chosen = _from_provider(image, auths)
    return base64.urlsafe_b64encode(json.dumps(chosen).encode()).decode()


def _from_provider(image: str, auths: dict[str, dict[str, str]]) -> dict[str, str]:
    server, slash, _ = image.removeprefix("http://").removeprefix("https://").partition("/")
    if not slash:
        return {}
    if server in auths:
        return auths[server]
    if server in DOCKER_HUB:
        return next((auths[name] for name in DOCKER_HUB if name in auths), {})
    return {}


def pin_image(engine: Engine, spec: Attributes, auth: str) -> None:
    """Ask the registry through the engine, as `docker service create` does; one that does not answer is no error.

    A tag gets its digest, and the service may then run only on the image's platforms.
    """
    task = spec["TaskTemplate"]
    image = task["ContainerSpec"]["Image"]
    try:
        found = engine.get_distribution(path_of("distribution", image), auth)
    except EngineError as error:
        if error.status == 0:
            raise
        return
    if not _DIGEST.search(image) and found.get("Descriptor", {}).get("digest"):
        tagged = image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"
        task["ContainerSpec"]["Image"] = f"{tagged}@{found['Descriptor']['digest']}"
    platforms = [
        {
            "Architecture": ""
            if platform.get("architecture", "").lower() == "arm"
            else platform.get("architecture", ""),
            "OS": platform.get("os", ""),
        }
        for platform in found.get("Platforms") or []
    ]
    if platforms:
        task["Placement"]["Platforms"] = platforms
