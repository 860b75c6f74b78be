"""One customer's stack: a release by its version, deployed by digest. It builds nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pulumi
import pulumi_docker as docker

from components import change, swarm
from components.backup import STORAGE_SECRET, Backup, BackupArgs, passage_to, source_of
from components.backup_status import Question
from components.boundary import stop
from components.cluster_reference import Placement, ground_of
from components.configuration import Configurations
from components.edge import Edge, EdgeArgs
from components.immutable_service import ImmutableService, ImmutableServiceArgs, MountedSecret, generation_port
from components.installation import Installation, InstallationArgs
from components.manifest import RuntimeRelease, fingerprint
from components.recipe import Sizing
from components.release_store import ReleaseError
from components.resolution import check_backups, check_schema, resolve, wanted_of
from components.settings import EnvironmentSettings, SettingsError
from components.shared_folder import SharedFolder, SharedFolderArgs
from components.storage_reference import account_of, vendor_of
from components.swarm import Mount
from components.witness import Witness

ENVIRONMENT_FILE = "/etc/stele/environment.properties"


def secret_fingerprint(environment: str, name: str, value: str) -> str:
    """A name for a secret's content that does not help to guess it: scrypt (RFC 7914), 40 bits kept."""
    return hashlib.scrypt(value.encode(), salt=f"{environment}/{name}".encode(), n=2**11, r=8, p=1, dklen=5).hex()


def _after(generation: ImmutableServiceArgs, more: Sequence[pulumi.Resource]) -> ImmutableServiceArgs:
    return replace(generation, after=(*generation.after, *more))


class Environment(pulumi.ComponentResource):
    """One environment of one release.

    ``outputs`` is the contract for scripts: ``url``, ``version``, ``runtimes`` (name -> ``image@digest``),
    ``configuration`` (name -> hash), ``actions`` (name -> none | restart | redeploy of the last change), ``services``
    (name -> the orchestrator's service name), ``ports`` (name of a front door -> the host port of its generation,
    behind the public one), ``recipes`` (name -> ``<recipe>-<core>``), ``wirings`` (name -> fingerprint of recipe and
    size), and where it runs: ``swarm``, or ``state`` on a cluster. With backups also ``backup`` (``health``: green |
    yellow, ``reason``, ``last``: the newest verified one, ``loaded``: what the task runner loaded, from where, and what
    was lost), and ``schema`` (what the data is at).
    """

    outputs: dict[str, Any]

    def __init__(self, name: str, settings: EnvironmentSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        try:  # before anything is declared
            account = account_of("storage", settings.storage) if settings.storage else None
            if account is not None:
                settings = replace(settings, secrets={**settings.secrets, STORAGE_SECRET: account.credential})
            self._passage = passage_to(account) if account is not None else None
            manifest, active = resolve(settings)
            check_schema(settings, manifest, before := change.recorded_now(name))
            self._ground = ground_of(settings, account, before)
            key = settings.secrets.get("backup-key", "")
            asked = Question(account, name, key, wanted_of(settings)) if account is not None else None
            new, source = not before.get("services"), source_of(settings, name)
            if account is not None and asked is not None and (new or settings.restore != "newest"):
                of_source = asked if source == name else Question(account, source, key, wanted_of(settings))
                check_backups(settings, of_source.answer, new=new)
        except (ReleaseError, SettingsError) as error:
            stop(str(error))
        super().__init__("stele:environment:Environment", name, None, opts)
        self._name, self._settings, self._manifest, self._account = name, settings, manifest, account
        self._before = before
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
        stateful = {key: runtime for key, runtime in active.items() if runtime.recipe.volume}
        self._folders = self._shared(stateful)
        volumes = {key: self._volume(runtime) for key, runtime in stateful.items()}
        generations = {
            key: self._generation(runtime, network, secrets, volumes.get(key)) for key, runtime in active.items()
        }
        # Whatever is loaded comes from the customer's own account: the release is there before the runner looks.
        installation = self._installation(str(before.get("incarnation", ""))) if account is not None else None
        recorded = (installation.resource,) if installation else ()
        runners = {
            key: self._backup(key, _after(generations[key], recorded), active, volumes)
            for key, runtime in active.items()
            if runtime.recipe.tasks
        }
        # What the data must be is done before anything uses it.
        loaded = tuple(backup.loaded for backup in runners.values())
        behind = {
            key: ImmutableService(key, _after(generations[key], loaded), self._child)
            for key, runtime in active.items()
            if not runtime.recipe.front and not runtime.recipe.tasks
        }
        healthy = tuple(each.resource for each in behind.values())
        # The door moves last: it announces the version, so everything behind it is that version and healthy.
        doors = {
            key: self._edge(key, _after(generations[key], healthy), active)
            for key, runtime in active.items()
            if runtime.recipe.front
        }
        services: dict[str, ImmutableService | Edge | Backup] = {**runners, **behind, **doors}
        self.outputs = self._outputs(active, services)
        if self._ground.hosts:
            self.outputs["state"] = self._ground.place
        if self._ground.swarm:
            self.outputs["swarm"] = self._ground.swarm
        if installation:
            self.outputs["incarnation"] = installation.incarnation
        for backup in runners.values():
            self.outputs |= {"backup": backup.told(asked.answer if asked else None), "schema": backup.schema}
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

    def _shared(self, stateful: Mapping[str, RuntimeRelease]) -> dict[str, SharedFolder]:
        """Where every host of the cluster has the same folder: a folder in it for each that has data."""
        if self._ground.state is None:
            return {}
        return {
            key: SharedFolder(
                f"{key}-data",
                SharedFolderArgs(
                    parent=self._ground.state,
                    name=f"{self._name}-{key}-data",
                    image=runtime.image(self._settings.registry),
                ),
                self._child,
            )
            for key, runtime in stateful.items()
        }

    def _volume(self, runtime: RuntimeRelease) -> Mount:
        """Its data, as its owner sees it."""
        target = runtime.recipe.volume or ""
        if folder := self._folders.get(runtime.name):
            return Mount(target=target, folder=folder.path, own=True)
        volume = docker.Volume(
            f"{runtime.name}-data",
            name=f"{self._name}-{runtime.name}-data",
            labels=swarm.labels(docker.VolumeLabelArgs, self._name),
            # `pulumi destroy` must not destroy data: the next `up` finds the volume by its name.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True, ignore_changes=["labels"]),
        )
        return Mount(target=target, volume=volume, own=True)

    def _generation(
        self,
        runtime: RuntimeRelease,
        network: docker.Network,
        secrets: Mapping[str, MountedSecret],
        volume: Mount | None,
    ) -> ImmutableServiceArgs:
        # Nothing of one runtime alone: the same content is one object. What a runtime needs answers under its own name.
        properties = {"ENVIRONMENT": self._name, "DRAIN_SECONDS": str(runtime.recipe.stop.drain)}
        if self._account is not None and volume is not None and not runtime.recipe.tasks:
            properties["LOAD"] = "required"  # an empty volume may be one that is still to be loaded
        sizing, placement = self._place(runtime)
        return ImmutableServiceArgs(
            environment=self._name,
            image=runtime.image(self._settings.registry),
            recipe=runtime.recipe,
            sizing=sizing,
            placement=placement,
            kernel=self._ground.kernel,
            after=tuple(folder.resource for folder in self._folders.values()),
            network=network.id,
            configurations=self._configurations,
            files={ENVIRONMENT_FILE: "".join(f"{key}={value}\n" for key, value in sorted(properties.items()))},
            secrets=tuple(secrets[key] for key in runtime.recipe.secrets),
            mounts=(volume,) if volume else (),
            window=self._settings.window,
            witness=self._witness,
        )

    def _place(self, runtime: RuntimeRelease) -> tuple[Sizing, Placement]:
        """How many of it run, and where."""
        sizing = runtime.recipe.sizing[self._settings.size_of(runtime.name)]
        if runtime.recipe.tasks:  # it reads what others have
            return sizing, self._ground.of_volumes()
        if runtime.recipe.front:
            return self._ground.of_front(sizing)
        return self._ground.of_stateful(sizing) if runtime.recipe.volume else self._ground.of_stateless(sizing)

    def _installation(self, before: str) -> Installation:
        """The release and the stack's exact configuration, in the customer's account."""
        assert self._account is not None, "only with an account"
        args = InstallationArgs(
            account=self._account,
            manifest=self._manifest,
            settings=self._settings.to_record(),
            vendor=vendor_of(self._settings.vendor),
            folder=self._settings.releases,
            key=self._settings.secrets.get("backup-key", ""),
            before=before,
        )
        return Installation(f"{self._name}-installation", args, self._child)

    def _backup(
        self,
        key: str,
        generation: ImmutableServiceArgs,
        active: Mapping[str, RuntimeRelease],
        volumes: Mapping[str, Mount],
    ) -> Backup:
        assert self._account is not None, "resolve leaves task runners out without an account"
        args = BackupArgs(
            service=generation,
            settings=self._settings,
            account=self._account,
            passage=self._passage,
            schema=self._manifest.schema,
            vanilla=vanilla.digest if (vanilla := self._manifest.archives.get("vanilla")) else None,
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
            serving=self._serving(key),
        )
        return Edge(key, args, self._child)

    def _serving(self, key: str) -> dict[str, int]:
        """The generation of a front door that serves now, and its host port; none for a new stack."""
        service, port = ((self._before.get(kind) or {}).get(key) for kind in ("services", "ports"))
        return {service: int(port) if port else generation_port(service, {})} if service else {}

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
            "actions": change.of_last_change(self._before, names, wirings),
            "wirings": wirings,
            "services": running,
            "ports": {key: service.port for key, service in services.items() if isinstance(service, Edge)},
            "recipes": recipes,
        }
