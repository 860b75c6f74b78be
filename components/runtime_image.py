"""One container image made from the template: blessed plus a runtime's flows (layer 3) and configuration (layer 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker_build as build

from components.blueprint import RUNTIMES, Blueprint, tree_hash
from components.runtime_template import BUILDER, EXPORT


@dataclass(frozen=True, kw_only=True)
class RuntimeImageArgs:
    """``blessed`` and ``builder`` are images by digest; ``epoch`` is the template's."""

    blueprint: Blueprint
    product: str
    registry: str
    blessed: pulumi.Input[str]
    builder: pulumi.Input[str]
    epoch: str
    volumes: Sequence[str] = ()  # a task runner's: the runtimes whose volumes it works on


class RuntimeImage(pulumi.ComponentResource):
    """The augmented image of one runtime. Outputs: ``digest`` and ``image`` (``registry/repository@digest``);
    ``repository`` is its name without the registry, ``configuration`` the hash of layer 4."""

    digest: pulumi.Output[str]
    image: pulumi.Output[str]
    repository: str
    configuration: str

    def __init__(self, name: str, args: RuntimeImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:runtime:RuntimeImage", name, None, opts)
        folder = args.blueprint.folder
        self.repository = f"{args.product}/{name}"
        self.configuration = tree_hash(folder / "config")
        reference = f"{args.registry}/{self.repository}"
        image = build.Image(
            f"{name}-image",
            push=False,
            exports=[EXPORT],
            # A name for what is built, whatever becomes of it. Version and release name follow once it is published.
            tags=[f"{reference}:build-{tree_hash(folder)[7:19]}"],
            # Only this runtime's folder is sent: another runtime's change can never touch this image.
            context=build.BuildContextArgs(location=str(folder)),
            dockerfile=build.DockerfileArgs(location=str(RUNTIMES / args.blueprint.family / "augmented.Dockerfile")),
            build_args={
                "BLESSED": args.blessed,
                "BUILDER": args.builder,
                "RUNTIME": name,
                "SOURCE_DATE_EPOCH": args.epoch,
            }
            | ({"VOLUMES": " ".join(args.volumes)} if args.volumes else {}),
            platforms=[build.Platform.LINUX_AMD64],
            builder=BUILDER,
            build_on_preview=False,
            # An image that a published release names must never be removed by a later change.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        self.digest = image.digest
        self.image = image.digest.apply(lambda digest: f"{reference}@{digest}")
        self.register_outputs({"digest": self.digest, "image": self.image})
