"""One orchestrated service that is replaced, never mutated.

A generation of a runtime is a resource of its own, named by the hash of its whole specification. So an upgrade creates
the new generation beside the old one, waits until all its tasks are healthy, and only then does Pulumi delete the old
one, which is no longer declared. A generation that never gets healthy fails its own creation: nothing else was touched,
and going back finds the old generation exactly as it was. See docs/decisions/content-named-generations.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

from components import swarm
from components.cluster_reference import Placement
from components.configuration import Configurations
from components.manifest import digest_of, fingerprint
from components.recipe import Recipe, Sizing
from components.settings import GENERATION_PORTS
from components.swarm import Mount
from components.witness import Witness

FRONT_PORT = 8080  # where the front door listens inside its container


def generation_port(service: str, serving: Mapping[str, int]) -> int:
    """The host port of one generation of the front door: by the fingerprint (hex digits) at the end of its name, and
    never that of another one which may be ``serving``, by name, until this one is healthy. What serves stays."""
    if service in serving:
        return serving[service]
    first = int(service.rpartition("-")[2], 16) % len(GENERATION_PORTS)
    ports: list[int] = [*GENERATION_PORTS[first:], *GENERATION_PORTS[:first]]
    return next(port for port in ports if port not in serving.values())


@dataclass(frozen=True, kw_only=True)
class MountedSecret:
    """A secret at ``/run/secrets/<name>``: the orchestrator's object and the fingerprint of its content."""

    name: str
    content: str
    resource: docker.Secret


@dataclass(frozen=True, kw_only=True)
class ImmutableServiceArgs:
    """One generation of one runtime.

    ``image`` is a reference by digest. ``files`` maps paths in the container to the text of its configuration, which
    ``configurations`` makes objects of.
    ``network`` is the id of the environment's network, or of the host's own when ``on_host``: then the task may set the
    host's packet filter. ``window`` (seconds) replaces the recipe's. ``command`` and ``health`` replace the image's
    entry point and the health hook. ``mounts``: its own volume, and what a task runner sees of others. ``publish`` puts
    the front door's port on a host port of this generation's own; ``serving``: the one of the generation that serves
    now, by its service's name. ``placement``: on which hosts of a cluster; ``kernel``: settings (sysctl) of its own
    network stack there. ``after``: what is there before this one is created, and deleted only when it is gone
    (`depends_on` of a component does not reach its children). ``witness`` tells why a creation failed.
    """

    environment: str
    image: str
    recipe: Recipe
    sizing: Sizing
    network: pulumi.Input[str]
    configurations: Configurations
    files: Mapping[str, str]
    secrets: Sequence[MountedSecret] = ()
    mounts: Sequence[Mount] = ()
    window: int | None = None
    command: Sequence[str] = ()
    health: Sequence[str] = (swarm.HEALTH_HOOK, "ready")
    publish: bool = False
    serving: Mapping[str, int] = field(default_factory=dict)
    on_host: bool = False
    placement: Placement = field(default_factory=Placement)
    kernel: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[pulumi.Resource] = ()
    witness: Witness | None = None

    def specification(self) -> dict[str, object]:
        """Everything that makes this generation what it is, in plain form; secrets only by fingerprint."""
        more = {"placement": self.placement.to_json(), "kernel": dict(self.kernel)}
        # The owner's volume goes by its name, which is the runtime's.
        mounts = [str(mount) for mount in self.mounts if mount.folder or not mount.own]
        return {
            "shape": swarm.SHAPE,
            "image": self.image,
            "recipe": self.recipe.to_json(),
            "sizing": vars(self.sizing),
            "files": dict(self.files),
            "secrets": {secret.name: secret.content for secret in self.secrets},
            "window": self.window,
            "command": list(self.command),
            "health": list(self.health),
            "publish": self.publish,
            "on_host": self.on_host,
        } | {key: value for key, value in ({"mounts": mounts} | more).items() if value}


class ImmutableService(pulumi.ComponentResource):
    """A service whose next generation is healthy before the previous one goes.

    ``name`` is the orchestrator's name of this generation (``service``: the same, known once it is healthy),
    ``generation`` its fingerprint, ``configuration`` the
    hash of its files, ``port`` the host port it is published on (None when it is not).
    """

    service: pulumi.Output[str]
    name: str
    generation: str
    configuration: str
    port: int | None
    resource: docker.Service

    def __init__(self, name: str, args: ImmutableServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stele:service:ImmutableService", name, None, opts)
        self.configuration = digest_of(dict(args.files))
        self.generation = fingerprint(args.specification())
        self.name = service_name = f"{args.environment}-{name}-{self.generation}"
        self.port = generation_port(service_name, args.serving) if args.publish else None
        window = args.window or args.recipe.health.window
        configs = {path: args.configurations.of(path, text) for path, text in sorted(args.files.items())}
        service = docker.Service(
            f"{name}-{self.generation}",
            name=service_name,
            labels=swarm.labels(docker.ServiceLabelArgs, args.environment),
            mode=swarm.mode(args.sizing.replicas),
            endpoint_spec=swarm.endpoint(self.port, FRONT_PORT),
            # Without it a creation succeeds at once, healthy or not.
            converge_config=docker.ServiceConvergeConfigArgs(delay="500ms", timeout=f"{window}s"),
            task_spec=docker.ServiceTaskSpecArgs(
                container_spec=swarm.container(
                    image=args.image,
                    command=args.command,
                    health=args.health,
                    recipe=args.recipe,
                    window=window,
                    configs=configs,
                    secrets={secret.name: secret.resource for secret in args.secrets},
                    mounts=args.mounts,
                    on_host=args.on_host,
                    kernel=args.kernel,
                ),
                networks_advanceds=[swarm.network(args.network, None if args.on_host else name)],
                resources=swarm.resources(args.sizing),
                placement=swarm.placement(args.placement),
                restart_policy=swarm.RESTART,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                # The name says what this generation is. Whatever else differs, it is never updated in place.
                ignore_changes=["taskSpec", "mode", "endpointSpec", "labels", "convergeConfig"],
                depends_on=list(args.after),
                hooks=args.witness.hooks if args.witness else None,
            ),
        )
        self.resource = service
        self.service = service.name
        self.register_outputs({"service": self.service, "configuration": self.configuration})
