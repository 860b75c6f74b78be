"""One customer's stack: a release by its version, deployed by digest. It builds nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pulumi
import pulumi_docker as docker

from components import change, swarm
from components.backup import STORAGE_SECRET, Backup, BackupArgs
from components.boundary import stop
from components.configuration import Configurations
from components.edge import Edge, EdgeArgs
from components.immutable_service import ImmutableService, ImmutableServiceArgs, MountedSecret
from components.manifest import Manifest, RuntimeRelease, fingerprint
from components.release_store import ReleaseError, ReleaseStore, store_of
from components.settings import EnvironmentSettings, SettingsError
from components.storage_reference import account_of, vendor_of
from components.swarm import Mount
from components.witness import Witness

ENVIRONMENT_FILE = "/etc/stele/environment.properties"


def secret_fingerprint(environment: str, name: str, value: str) -> str:
    """A name for a secret's content that does not help to guess it: scrypt (RFC 7914), 40 bits kept."""
    return hashlib.scrypt(value.encode(), salt=f"{environment}/{name}".encode(), n=2**11, r=8, p=1, dklen=5).hex()


def resolve(settings: EnvironmentSettings) -> tuple[Manifest, dict[str, RuntimeRelease]]:
    """The release of the settings' version and its active runtimes. Raises ReleaseError or SettingsError."""
    store = store_of(settings.releases, vendor_of(settings.vendor))
    manifest = store.read(settings.product, settings.version)
    wanted = settings.runtimes if settings.runtimes is not None else tuple(manifest.runtimes)
    for name in [*wanted, *(key for key in settings.sizing if key != "default")]:
        if name not in manifest.runtimes:
            key = "runtimes" if name in wanted else "sizing"
            raise SettingsError(
                key, name, f"runtimes of release {manifest.version}: {', '.join(sorted(manifest.runtimes))}"
            )
    if settings.storage is None:  # without an account nothing is backed up
        wanted = tuple(name for name in wanted if not manifest.runtimes[name].recipe.tasks)
    if settings.fenced:  # without a front door nothing is accepted
        wanted = tuple(name for name in wanted if not manifest.runtimes[name].recipe.front)
    active = {name: manifest.runtimes[name] for name in sorted(wanted)}
    for name, runtime in active.items():
        missing = [need for need in runtime.recipe.needs if need not in active]
        if missing:
            raise SettingsError(
                "runtimes", list(wanted), f"{name} needs {', '.join(missing)}: add it, or leave {name} out"
            )
        if settings.size_of(name) not in runtime.recipe.sizing:
            sizes = ", ".join(sorted(runtime.recipe.sizing))
            raise SettingsError("sizing", str(settings.size_of(name)), f"sizes of {name} in this release: {sizes}")
    _check_secrets(settings, store, manifest, active)
    return manifest, active


def _check_secrets(
    settings: EnvironmentSettings, store: ReleaseStore, manifest: Manifest, active: Mapping[str, RuntimeRelease]
) -> None:
    """Every secret that an active runtime names must be there, and none that no published release knows.

    One that only a newer release knows must not stand in the way of going back.
    """
    for name, runtime in active.items():
        for secret in runtime.recipe.secrets:
            if secret not in settings.secrets:
                raise SettingsError(
                    secret, "(not set)", f"a secret for {name}; pulumi config set --secret {secret} VALUE"
                )
    known = _secrets_of(manifest)
    for secret in sorted(settings.secrets.keys() - known):  # the vendor's store is asked only about strange ones
        elsewhere = (_secrets_of(store.read(manifest.product, version)) for version in store.versions(manifest.product))
        if not any(secret in secrets for secrets in elsewhere):
            allowed = f"secrets of release {manifest.version}: {', '.join(sorted(known))}; pulumi config rm {secret}"
            raise SettingsError(secret, "(unknown key)", allowed)


def _secrets_of(manifest: Manifest) -> set[str]:
    return {secret for runtime in manifest.runtimes.values() for secret in runtime.recipe.secrets}


class Environment(pulumi.ComponentResource):
    """One environment of one release.

    ``outputs`` is the contract for scripts: ``url``, ``version``, ``runtimes`` (name -> ``image@digest``),
    ``configuration`` (name -> hash), ``actions`` (name -> none | restart | redeploy of the last change), ``services``
    (name -> the orchestrator's service name), ``recipes`` (name -> ``<recipe>-<core>``), ``wirings`` (name ->
    fingerprint of recipe and size).
    """

    outputs: dict[str, Any]

    def __init__(self, name: str, settings: EnvironmentSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        try:  # before anything is declared
            account = account_of("storage", settings.storage) if settings.storage else None
            if account is not None:
                settings = replace(settings, secrets={**settings.secrets, STORAGE_SECRET: account.secret_key})
            manifest, active = resolve(settings)
        except (ReleaseError, SettingsError) as error:
            stop(str(error))
        super().__init__("stele:environment:Environment", name, None, opts)
        self._name, self._settings, self._manifest, self._account = name, settings, manifest, account
        self._child = pulumi.ResourceOptions(parent=self)
        self._configurations = Configurations(name, self._child)
        self._witness = Witness()
        network = docker.Network(
            f"{name}-network",
            name=name,
            driver="overlay",
            attachable=True,
            labels=swarm.labels(docker.NetworkLabelArgs, name),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["labels"]),
        )
        needed = {secret for runtime in active.values() for secret in runtime.recipe.secrets}
        secrets = {key: self._secret(key, settings.secrets[key]) for key in sorted(needed)}
        volumes = {key: self._volume(runtime) for key, runtime in active.items() if runtime.recipe.volume}
        generations = {
            key: self._generation(runtime, network, secrets, volumes.get(key)) for key, runtime in active.items()
        }
        runners = {
            key: self._backup(key, generations[key], active, volumes)
            for key, runtime in active.items()
            if runtime.recipe.tasks
        }
        # What the data must be is done before anything uses it.
        loaded = tuple(backup.runner for backup in runners.values())
        behind = {
            key: ImmutableService(key, replace(generations[key], after=loaded), self._child)
            for key, runtime in active.items()
            if not runtime.recipe.front and not runtime.recipe.tasks
        }
        # The door moves last: it announces the version, so everything behind it is that version and healthy.
        doors = {
            key: self._edge(key, replace(generations[key], after=tuple(behind.values())), active)
            for key, runtime in active.items()
            if runtime.recipe.front
        }
        services: dict[str, ImmutableService | Edge | Backup] = {**runners, **behind, **doors}
        self.outputs = self._outputs(active, services)
        self.register_outputs(self.outputs)

    def _secret(self, key: str, value: str) -> MountedSecret:
        content = secret_fingerprint(self._name, key, value)
        resource = docker.Secret(
            f"{key}-{content}",
            name=f"{self._name}-{key}-{content}",
            data=pulumi.Output.secret(base64.b64encode(value.encode()).decode()),
            labels=swarm.labels(docker.SecretLabelArgs, self._name),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["labels"]),
        )
        return MountedSecret(name=key, content=content, resource=resource)

    def _volume(self, runtime: RuntimeRelease) -> docker.Volume:
        return docker.Volume(
            f"{runtime.name}-data",
            name=f"{self._name}-{runtime.name}-data",
            labels=swarm.labels(docker.VolumeLabelArgs, self._name),
            # `pulumi destroy` must not destroy data: the next `up` finds the volume by its name.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True, ignore_changes=["labels"]),
        )

    def _generation(
        self,
        runtime: RuntimeRelease,
        network: docker.Network,
        secrets: Mapping[str, MountedSecret],
        volume: docker.Volume | None,
    ) -> ImmutableServiceArgs:
        # Nothing of one runtime alone: the same content is one object. What a runtime needs answers under its own name.
        properties = {"ENVIRONMENT": self._name, "DRAIN_SECONDS": str(runtime.recipe.stop.drain)}
        if self._account is not None and volume is not None and not runtime.recipe.tasks:
            properties["LOAD"] = "required"  # an empty volume may be one that is still to be loaded
        return ImmutableServiceArgs(
            environment=self._name,
            image=runtime.image(self._settings.registry),
            recipe=runtime.recipe,
            sizing=runtime.recipe.sizing[self._settings.size_of(runtime.name)],
            network=network.id,
            configurations=self._configurations,
            files={ENVIRONMENT_FILE: "".join(f"{key}={value}\n" for key, value in sorted(properties.items()))},
            secrets=tuple(secrets[key] for key in runtime.recipe.secrets),
            mounts=(Mount(target=runtime.recipe.volume or "", volume=volume, own=True),) if volume else (),
            window=self._settings.window,
            witness=self._witness,
        )

    def _backup(
        self,
        key: str,
        generation: ImmutableServiceArgs,
        active: Mapping[str, RuntimeRelease],
        volumes: Mapping[str, docker.Volume],
    ) -> Backup:
        assert self._account is not None, "resolve leaves task runners out without an account"
        args = BackupArgs(
            service=generation,
            settings=self._settings,
            account=self._account,
            schema=self._manifest.schema,
            runtimes=active,
            volumes={name: volume for name, volume in volumes.items() if name != key},
        )
        return Backup(key, args, self._child)

    def _edge(self, key: str, generation: ImmutableServiceArgs, active: Mapping[str, RuntimeRelease]) -> Edge:
        version = {
            "version": self._manifest.version,
            "name": self._manifest.name,
            "manifest": self._manifest.digest,
            "runtimes": {name: runtime.image(self._settings.registry) for name, runtime in active.items()},
        }
        args = EdgeArgs(
            service=generation,
            port=self._settings.port,
            exposure=self._settings.exposure,
            dns=self._settings.dns,
            host_network=docker.get_network_output(name="host").id,
            version=version,
        )
        return Edge(key, args, self._child)

    def _wiring(self, runtime: RuntimeRelease) -> str:
        """Fingerprint of how a runtime is started and wired here: recipe, its version, and the size chosen."""
        size = self._settings.size_of(runtime.name)
        return fingerprint([runtime.recipe_version, runtime.recipe.to_json(), size])

    def _outputs(
        self, active: Mapping[str, RuntimeRelease], services: Mapping[str, ImmutableService | Edge | Backup]
    ) -> dict[str, Any]:
        edges = [service for service in services.values() if isinstance(service, Edge)]
        running = {key: service.service for key, service in services.items()}
        names = {key: service.name for key, service in services.items()}
        recipes = {key: f"{runtime.recipe_version}-{runtime.core}" for key, runtime in active.items()}
        wirings = {key: self._wiring(runtime) for key, runtime in active.items()}
        return {
            "url": edges[0].url if edges else None,
            "version": self._manifest.version,
            "runtimes": {key: runtime.image(self._settings.registry) for key, runtime in active.items()},
            "configuration": {key: service.configuration for key, service in services.items()},
            "actions": change.actions(self._name, names, wirings),
            "wirings": wirings,
            "services": running,
            "recipes": recipes,
        }
