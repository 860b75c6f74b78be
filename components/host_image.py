"""One host image made by Packer: the operating system and the engine that containers run on, from locked packages."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command

from components.blueprint import RUNTIMES, tree_hash
from components.boundary import CHECKOUT
from components.places import ReleaseError

PACKER = CHECKOUT / "packer"
FILES = {"disk": "host.qcow2", "sbom": "host.spdx.json", "lock": "packages.lock"}  # by key: packer/place.py's, too
MEND = (
    "bring it back from a copy or, when no release names it, bake it again: "
    "STELE_REBUILD=1 pulumi up -s release --replace '**::host-bake'"
)


class HostImage(pulumi.ComponentResource):
    """The host image of one release, in a folder ``hosts`` beside the published releases.

    Output ``baked``: the manifest's entry (:class:`components.manifest.HostRelease`). Baked anew only when the
    template, a script or the package lock changes; what was baked from the same content is found.
    """

    baked: pulumi.Output[Mapping[str, Any]]

    def __init__(self, name: str, releases: str, epoch: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:host:HostImage", name, None, opts)
        content, folder = content_and_folder()
        baked = command.local.Command(
            f"{name}-bake",
            create=f"packer/bake {shlex.quote(releases)}/{folder}",
            # An image that a release names must stay, so deleting the resource removes nothing.
            delete="true",
            dir=str(CHECKOUT),
            environment={"SOURCE_DATE_EPOCH": epoch, "STELE_IMAGE_VERSION": folder.rpartition("/")[2]},
            triggers=[content],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=False),
        )
        self.baked = baked.stdout.apply(lambda printed: _entry(printed, folder))
        self.register_outputs({"baked": self.baked})


def content_and_folder() -> tuple[str, str]:
    """The hash of everything that decides what an image is, and the folder beside the releases for that one."""
    content = tree_hash(PACKER, RUNTIMES / "base", RUNTIMES / "template.yaml")
    return content, f"hosts/{content[7:19]}"


def check(releases: str, entry: Mapping[str, Any]) -> None:
    """Raises ReleaseError where a file of an image is not what its entry says: a release may name one of long ago."""
    for key, name in FILES.items():
        path = Path(releases) / entry["folder"] / name
        found = _digest(path)
        if found != entry[key]:
            raise ReleaseError(f"{path} is {found}, the release says {entry[key]}: {MEND}")


def _digest(path: Path) -> str:
    """``sha256:<hex>`` of a file, or what hinders that."""
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"not readable ({error.strerror})"


def _entry(printed: str, folder: str) -> dict[str, Any]:
    """The manifest's entry, from what ``packer/bake`` prints."""
    baked = json.loads(printed.strip().splitlines()[-1])
    return {key: baked[key] for key in ("disk", "size", "tree", "sbom", "lock")} | {"folder": folder}
