"""The release: a manifest that names everything of one version by digest, published once and never again otherwise."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_command as command

from components.boundary import CHECKOUT
from components.installation import accounts
from components.manifest import canonical, content_of
from components.release_commands import VENDOR
from components.settings import ReleaseSettings
from components.storage_reference import Account


@dataclass(frozen=True, kw_only=True)
class ReleaseArgs:
    """``families``, ``runtimes`` and ``archives`` are the manifest's entries, in plain form, with digests as outputs;
    ``vendor``: the account to publish in, besides the folder; ``host``: its entry, if there is one."""

    settings: ReleaseSettings
    template: str
    schema: Mapping[str, int]
    families: Mapping[str, Mapping[str, Any]]
    runtimes: Mapping[str, Mapping[str, Any]]
    archives: Mapping[str, Mapping[str, Any]]
    vendor: Account | None
    host: pulumi.Input[Mapping[str, Any]] | None = None


class Release(pulumi.ComponentResource):
    """One published release. Output ``manifest``: its digest. Publishing a version with other content fails."""

    manifest: pulumi.Output[str]

    def __init__(self, name: str, args: ReleaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:release:Release", name, None, opts)
        settings = args.settings
        content = pulumi.Output.all(families=args.families, runtimes=args.runtimes, host=args.host).apply(
            lambda entries: canonical(
                content_of(
                    version=settings.version,
                    name=settings.name,
                    product=settings.product,
                    template=args.template,
                    data=args.schema,
                    archives=args.archives,
                    **entries,
                )
            ).decode()
        )
        publish = f"python3 -m components.release_store publish {shlex.quote(settings.releases)}"
        published = command.local.Command(
            f"{name}-manifest",
            create=publish,
            update=publish,  # another version: publish that one too; the earlier ones stay
            delete="true",
            stdin=content,
            environment=accounts({VENDOR: args.vendor}) or None,
            dir=str(CHECKOUT),
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Only a published release moves the tags, so a refused one cannot take another's name.
        tag = 'while read -r image tag; do crane tag "$image" "$tag"; done'
        command.local.Command(
            f"{name}-tags",
            create=tag,
            update=tag,
            delete="true",
            stdin=pulumi.Output.all(entries=args.runtimes).apply(lambda given: _tags(settings, given["entries"])),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[published]),
        )
        self.manifest = published.stdout.apply(str.strip)
        self.register_outputs({"manifest": self.manifest})


def _tags(settings: ReleaseSettings, runtimes: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each tag of each image: the image by digest, then version or release name."""
    images = [f"{settings.registry}/{entry['repository']}@{entry['digest']}" for _, entry in sorted(runtimes.items())]
    return "".join(f"{image} {tag}\n" for image in images for tag in (settings.version, settings.name))
