"""The blueprint of a family's images: base (layer 1) and blessed (layer 2). Every runtime of the family starts here."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_docker_build as build

from components.blueprint import RUNTIMES, Family, Template, tree_hash

BUILDER = build.BuilderConfigArgs(name="stele")
# Times inside layers follow the epoch too; without attestations there is one manifest, not an index with a clock in it.
EXPORT = build.ExportArgs(raw="type=image,push=true,oci-mediatypes=true,rewrite-timestamp=true,force-compression=true")


def ca_bundle() -> str:
    """This host's CA certificates: networks that inspect TLS have one of their own, which build steps need too.

    Given to a step as a BuildKit secret, so it is in no layer.
    """
    for path in (ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if path and Path(path).is_file():
            return Path(path).read_text(encoding="ascii", errors="ignore")
    return ""


class BaseImage(pulumi.ComponentResource):
    """Layer 1, pushed as an image of one layer: operating system and language runtime, from locked Debian packages.

    Output ``image``: the reference by digest. Baked anew only when the lock or the script changes.
    """

    image: pulumi.Output[str]

    def __init__(
        self, family: str, registry: str, tag: str, epoch: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("stele:runtime:BaseImage", family, None, opts)
        repository = f"{registry}/stele/base-{family}"
        content = tree_hash(RUNTIMES / "base", RUNTIMES / family / "packages.lock")
        baked = command.local.Command(
            f"{family}-base",
            create=f"runtimes/base/bake {family} {repository} {tag}",
            # An image that a release names must stay, so deleting the resource removes nothing.
            delete="true",
            dir=str(RUNTIMES.parent),
            environment={"SOURCE_DATE_EPOCH": epoch},
            triggers=[content],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=False),
        )
        self.image = baked.stdout.apply(lambda printed: f"{repository}@{printed.strip().splitlines()[-1]}")
        self.register_outputs({"image": self.image})


@dataclass(frozen=True, kw_only=True)
class RuntimeTemplateArgs:
    """``builder`` is the image (by digest) in which build steps run."""

    family: Family
    template: Template
    registry: str
    builder: pulumi.Input[str]


class RuntimeTemplate(pulumi.ComponentResource):
    """The blessed image of one family: base plus one layer with frameworks, monitoring, user and hooks.

    Outputs: ``base`` and ``image``, both by digest. Tagged ``<recipe>-<core>``.
    """

    base: pulumi.Output[str]
    image: pulumi.Output[str]

    def __init__(self, name: str, args: RuntimeTemplateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:runtime:RuntimeTemplate", name, None, opts)
        family = args.family
        repository = f"{args.registry}/stele/{family.name}"
        child = pulumi.ResourceOptions(parent=self)
        self.base = BaseImage(family.name, args.registry, family.tag, args.template.epoch, child).image
        blessed = build.Image(
            f"{name}-blessed",
            push=False,
            exports=[EXPORT],
            tags=[f"{repository}:{family.tag}", f"{repository}:template-{args.template.version}"],
            # The Dockerfile's own .dockerignore lets in only the family's folder and `blessed`.
            context=build.BuildContextArgs(location=str(RUNTIMES)),
            dockerfile=build.DockerfileArgs(location=str(family.folder / "blessed.Dockerfile")),
            build_args={
                "BASE": self.base,
                "BUILDER": args.builder,
                "TEMPLATE_VERSION": args.template.version,
                "SOURCE_DATE_EPOCH": args.template.epoch,
            },
            secrets={"ca": ca_bundle()},
            ignore_secrets_in_diff_calculation=["ca"],
            platforms=[build.Platform.LINUX_AMD64],
            builder=BUILDER,
            build_on_preview=False,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        self.image = blessed.digest.apply(lambda digest: f"{repository}@{digest}")
        self.register_outputs({"base": self.base, "image": self.image})
