"""The release manifest: what a version consists of, by digest. Its content decides its digest; provenance does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.recipe import Recipe, recipe_of

SCHEMA = 1
FIRST_SCHEMA = {"needs": 1, "oldest": 1}  # of the database, where a release declares none


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8. Hash this, never a dict."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(value: Any) -> str:
    """``sha256:<64 hex digits>`` of a value's canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def fingerprint(value: Any, length: int = 10) -> str:
    """The first ``length`` hex digits of a value's SHA-256, by canonical JSON: short enough for a name."""
    return hashlib.sha256(canonical(value)).hexdigest()[:length]


@dataclass(frozen=True, kw_only=True)
class RuntimeRelease:
    """One runtime of one release: its image (``repository`` without registry, ``digest``) and how to start it."""

    name: str
    family: str
    recipe_version: str
    core: str
    repository: str
    digest: str
    configuration: str  # hash of layer 4
    recipe: Recipe

    def image(self, registry: str) -> str:
        """The image's full reference in ``registry``, by digest: ``registry/repository@sha256:...``."""
        return f"{registry}/{self.repository}@{self.digest}"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One published release."""

    version: str
    name: str
    product: str
    template: str  # version of the runtime template
    schema: Mapping[str, int]  # of the database: what the release ``needs``, and the ``oldest`` it starts from
    runtimes: Mapping[str, RuntimeRelease]
    digest: str  # of the content
    provenance: Mapping[str, Any]  # git commit and time of publication: recorded, not part of the identity


def content_of(
    *,
    version: str,
    name: str,
    product: str,
    template: str,
    families: Mapping[str, Any],
    runtimes: Mapping[str, Any],
    data: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The part of a manifest that is its identity, in plain form. ``data``: the database schema that it declares."""
    return ({"data": dict(data)} if data else {}) | {
        "schema": SCHEMA,
        "version": version,
        "name": name,
        "product": product,
        "template": template,
        "families": dict(families),
        "runtimes": dict(runtimes),
    }


def manifest_of(document: Mapping[str, Any]) -> Manifest:
    """Read a stored document ``{"content": ..., "provenance": ...}``. Raises ValueError for an unknown schema."""
    content = document["content"]
    if content["schema"] != SCHEMA:
        raise ValueError(
            f"release {content['version']}: manifest schema {content['schema']}; this program reads {SCHEMA}"
        )
    runtimes = {
        name: RuntimeRelease(
            name=name,
            family=entry["family"],
            recipe_version=entry["recipe"],
            core=entry["core"],
            repository=entry["repository"],
            digest=entry["digest"],
            configuration=entry["configuration"],
            recipe=recipe_of(f"release {content['version']}, {name}", entry["wiring"]),
        )
        for name, entry in content["runtimes"].items()
    }
    return Manifest(
        version=content["version"],
        name=content["name"],
        product=content["product"],
        template=content["template"],
        schema=content.get("data", FIRST_SCHEMA),
        runtimes=runtimes,
        digest=digest_of(content),
        provenance=document["provenance"],
    )
