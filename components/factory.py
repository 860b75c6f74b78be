"""One release: every image of a product from one template, and the manifest that names them."""

from __future__ import annotations

from typing import Any

import pulumi

from components.archive import archives_of
from components.blueprint import Blueprint, Family, blueprints, data_schema, family, template
from components.boundary import stop
from components.host_image import HostImage
from components.manifest import sha256
from components.recipe import RecipeError
from components.release import Release, ReleaseArgs
from components.release_store import ReleaseError, store_of
from components.runtime_image import RuntimeImage, RuntimeImageArgs
from components.runtime_template import BaseImage, RuntimeTemplate, RuntimeTemplateArgs
from components.settings import ReleaseSettings, SettingsError
from components.storage_reference import vendor_of

BUILDER_FAMILY = "builder"


class Factory(pulumi.ComponentResource):
    """Builds and publishes one release. ``outputs``: ``version``, ``manifest`` (digest), ``images`` (name ->
    ``image@digest``)."""

    outputs: dict[str, Any]

    def __init__(self, name: str, settings: ReleaseSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        try:  # before anything is declared
            whole = template()
            runtimes = blueprints(settings.product)
            schema = data_schema(settings.product)
            families = {kin: family(kin) for kin in sorted({runtime.family for runtime in runtimes.values()})}
            archives = archives_of(settings.product, runtimes)
            vendor = vendor_of(settings.vendor)
            store_of(settings.releases, vendor).versions(settings.product)  # a store without answer: not after building
        except (RecipeError, ReleaseError, SettingsError) as error:
            stop(str(error))
        super().__init__("stele:factory:Factory", name, None, opts)
        self._settings, self._epoch = settings, whole.epoch
        self._stateful = [
            key for key, each in runtimes.items() if each.recipe.volume is not None and not each.recipe.tasks
        ]
        child = pulumi.ResourceOptions(parent=self)
        builder = BaseImage(BUILDER_FAMILY, settings.registry, f"template-{whole.version}", whole.epoch, child).image
        templates = {
            kin: RuntimeTemplate(
                kin,
                RuntimeTemplateArgs(family=each, template=whole, registry=settings.registry, builder=builder),
                child,
            )
            for kin, each in families.items()
        }
        images = {
            key: self._image(key, runtime, templates[runtime.family], builder, child)
            for key, runtime in runtimes.items()
        }
        host = HostImage("host", settings.releases, whole.epoch, child).baked if settings.host else None
        release = Release(
            f"{settings.product}-release",
            ReleaseArgs(
                settings=settings,
                template=whole.version,
                schema=schema,
                families={kin: _family_entry(each, templates[kin]) for kin, each in families.items()},
                runtimes={key: _entry(runtimes[key], families, image) for key, image in images.items()},
                archives={key: {"digest": sha256(tar), "size": len(tar)} for key, tar in archives.items()},
                vendor=vendor,
                host=host,
            ),
            child,
        )
        self.outputs = {
            "version": settings.version,
            "manifest": release.manifest,
            "images": {key: image.image for key, image in images.items()},
        } | ({"host": host} if host is not None else {})
        self.register_outputs(self.outputs)

    def _image(
        self,
        name: str,
        blueprint: Blueprint,
        template: RuntimeTemplate,
        builder: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> RuntimeImage:
        args = RuntimeImageArgs(
            blueprint=blueprint,
            product=self._settings.product,
            registry=self._settings.registry,
            blessed=template.image,
            builder=builder,
            epoch=self._epoch,
            volumes=self._stateful if blueprint.recipe.tasks else (),
        )
        return RuntimeImage(name, args, opts)


def _digest(reference: pulumi.Output[str]) -> pulumi.Output[str]:
    return reference.apply(lambda image: image.rpartition("@")[2])


def _family_entry(family: Family, template: RuntimeTemplate) -> dict[str, Any]:
    return {
        "recipe": family.recipe_version,
        "core": family.core,
        "base": _digest(template.base),
        "blessed": _digest(template.image),
    }


def _entry(blueprint: Blueprint, families: dict[str, Family], image: RuntimeImage) -> dict[str, Any]:
    kin = families[blueprint.family]
    return {
        "family": kin.name,
        "recipe": kin.recipe_version,
        "core": kin.core,
        "repository": image.repository,
        "digest": image.digest,
        "configuration": image.configuration,
        "wiring": blueprint.recipe.to_json(),
    }
