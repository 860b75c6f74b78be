"""Images as the registry holds them: layers, sizes, and what a push added."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

_TYPES = ", ".join(
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
    ]
)


@dataclass(frozen=True)
class Layer:
    """One layer: digest, and compressed size in bytes."""

    digest: str
    size: int


def manifest(reference: str) -> dict[str, Any]:
    """The manifest of ``registry/repository@digest`` or ``registry/repository:tag``."""
    name, _, digest = reference.partition("@")
    if not digest:
        name, _, digest = reference.rpartition(":")
    registry, _, repository = name.partition("/")
    address = f"http://{registry}/v2/{repository}/manifests/{digest}"
    request = urllib.request.Request(address, headers={"Accept": _TYPES})
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - http:// above
        content: dict[str, Any] = json.load(response)
    return content


def layers(reference: str) -> list[Layer]:
    """The layers of one image, lowest first."""
    return [Layer(layer["digest"], layer["size"]) for layer in manifest(reference)["layers"]]


def size(reference: str) -> int:
    """The compressed size of one image in bytes."""
    return sum(layer.size for layer in layers(reference))
