"""The release manifest: what a version consists of, by digest. Its content decides its digest; provenance does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.recipe import Recipe, recipe_of

SCHEMA = 1
FIRST_SCHEMA = {"needs": 1, "oldest": 1}  # of the database, where a release declares none
# What may be published beside a manifest, by its key there: the backup that a new installation begins with, and files
# that belong to the version. Each is one archive, ``<key>.tar``.
ARCHIVES = ("vanilla", "files")


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8. Hash this, never a dict."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(value: Any) -> str:
    """``sha256:<64 hex digits>`` of a value's canonical JSON."""
    return sha256(canonical(value))


def sha256(body: bytes) -> str:
    """``sha256:<64 hex digits>`` of bytes."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


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
class Archive:
    """One archive of a release: SHA-256 and size (bytes) of its tar."""

    digest: str
    size: int


@dataclass(frozen=True, kw_only=True)
class HostRelease:
    """The host image of one release: SHA-256 of its ``disk``, of its files (``tree``), of its bill of materials
    (``sbom``) and of the ``lock`` it was made from, ``size`` in bytes, and its ``folder`` beside the releases."""

    disk: str
    size: int
    tree: str
    sbom: str
    lock: str
    folder: str


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
    archives: Mapping[str, Archive] = field(default_factory=dict)  # by name, of those in ARCHIVES that it has
    host: HostRelease | None = None


def content_of(
    *,
    version: str,
    name: str,
    product: str,
    template: str,
    families: Mapping[str, Any],
    runtimes: Mapping[str, Any],
    data: Mapping[str, int] | None = None,
    archives: Mapping[str, Mapping[str, Any]] | None = None,
    host: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The part of a manifest that is its identity, in plain form. ``data``: the database schema that it declares.

    An archive, ``data`` and ``host`` are keys only where there are any: what was published before keeps its digest.
    """
    return (
        ({"data": dict(data)} if data else {})
        | ({"host": dict(host)} if host else {})
        | {
            "schema": SCHEMA,
            "version": version,
            "name": name,
            "product": product,
            "template": template,
            "families": dict(families),
            "runtimes": dict(runtimes),
            **(archives or {}),
        }
    )


def manifest_of(document: Mapping[str, Any]) -> Manifest:
    """Read a stored document ``{"content": ..., "provenance": ..., "digest": ...}``.

    Raises ValueError for an unknown schema, and for content that is not the one whose digest it has.
    """
    content = document["content"]
    digest = digest_of(content)
    if document.get("digest", digest) != digest:  # earlier ones do not say their own
        raise ValueError(f"its content is not that of {document['digest']}")
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
        digest=digest,
        provenance=document["provenance"],
        archives={name: Archive(**content[name]) for name in ARCHIVES if name in content},
        host=HostRelease(**content["host"]) if "host" in content else None,
    )
