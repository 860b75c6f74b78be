"""What a generation looks like to Docker Swarm: plain values in, the provider's typed arguments out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import pulumi
import pulumi_docker as docker

from components.cluster_reference import Placement
from components.recipe import Recipe, Sizing
from hosts.wanted import HOST_LABEL

# Part of every generation's fingerprint: raise it with any change below that alters what a service is, or running
# services keep their old shape (tests/unit/test_shape.py notices).
SHAPE = 3
HEALTH_HOOK = "/opt/stele/health"
RUNTIME_USER = "10001"
STACK_LABEL = "stele.stack"
CHECKOUT_LABEL = "stele.checkout"  # whose platform this is, where several checkouts share one engine

# Durations are written the way the engine prints them: otherwise every plan shows a change (pulumi-docker#1285).
RESTART = docker.ServiceTaskSpecRestartPolicyArgs(condition="any", delay="2s", max_attempts=0, window="0s")

Label = TypeVar("Label")


@dataclass(frozen=True, kw_only=True)
class Mount:
    """What a container sees at ``target``: a volume, or a folder of the host. ``own``: this runtime's own volume."""

    target: str
    volume: docker.Volume | None = None
    folder: str | None = None
    own: bool = False

    def at(self, target: str) -> Mount:
        """The same thing, as somebody else sees it."""
        return replace(self, target=target, own=False)

    def __str__(self) -> str:
        return f"{self.folder or 'volume'}:{self.target}"


def labels(kind: Callable[..., Label], environment: str) -> list[Label]:
    """Labels that say whose an object is. They are set once; a later difference is ignored, never a mutation.

    No more than tell them apart: each one is serialised, checked and compared in every plan.
    """
    pairs = {STACK_LABEL: environment}
    if checkout := os.environ.get("STELE_CHECKOUT_ID"):
        pairs[CHECKOUT_LABEL] = checkout
    return [kind(label=label, value=value) for label, value in sorted(pairs.items())]


def mode(replicas: int) -> docker.ServiceModeArgs:
    """``replicas`` tasks. Never global: the provider cannot wait for a global service to be healthy."""
    return docker.ServiceModeArgs(replicated=docker.ServiceModeReplicatedArgs(replicas=replicas))


def endpoint(published: int | None, target: int) -> docker.ServiceEndpointSpecArgs:
    """DNS round robin (virtual IPs need IPVS, which not every kernel has), with a host-mode port when published."""
    port = docker.ServiceEndpointSpecPortArgs(
        protocol="tcp", publish_mode="host", published_port=published, target_port=target
    )
    return docker.ServiceEndpointSpecArgs(mode="dnsrr", ports=[port] if published else None)


def network(network_id: pulumi.Input[str], alias: str | None) -> docker.ServiceTaskSpecNetworksAdvancedArgs:
    """A network by id (by name, a refresh plans a replacement), with the alias that all generations share."""
    return docker.ServiceTaskSpecNetworksAdvancedArgs(id=network_id, aliases=[alias] if alias else None)


def placement(where: Placement) -> docker.ServiceTaskSpecPlacementArgs | None:
    """Where the tasks run; None for anywhere."""
    if not where.to_json():
        return None
    return docker.ServiceTaskSpecPlacementArgs(
        constraints=[f"node.labels.{HOST_LABEL}=={where.pinned}"] if where.pinned else None,
        max_replicas=1 if where.spread else None,
    )


def resources(sizing: Sizing) -> docker.ServiceTaskSpecResourcesArgs:
    """Hard limits: a runtime that leaks is killed alone instead of starving its neighbours."""
    return docker.ServiceTaskSpecResourcesArgs(
        limits=docker.ServiceTaskSpecResourcesLimitsArgs(
            memory_bytes=sizing.memory * 1024 * 1024, nano_cpus=int(sizing.cpus * 1_000_000_000)
        )
    )


def container(
    *,
    image: str,
    command: Sequence[str],
    health: Sequence[str],
    recipe: Recipe,
    window: int,
    configs: Mapping[str, docker.ServiceConfig],
    secrets: Mapping[str, docker.Secret],
    mounts: Sequence[Mount],
    on_host: bool,
    kernel: Mapping[str, str],
) -> docker.ServiceTaskSpecContainerSpecArgs:
    """The container of one generation."""
    return docker.ServiceTaskSpecContainerSpecArgs(
        image=image,
        commands=list(command) or None,
        user="0" if on_host else RUNTIME_USER,
        cap_adds=["CAP_NET_ADMIN"] if on_host else None,
        init=False,
        sysctl=dict(kernel) or None,
        healthcheck=docker.ServiceTaskSpecContainerSpecHealthcheckArgs(
            tests=["CMD", *health],
            interval=f"{recipe.health.interval}s",
            timeout="5s",
            retries=recipe.health.retries,
            start_period=_duration(window),
        ),
        stop_signal=recipe.stop.signal,
        stop_grace_period=_duration(recipe.stop.grace),
        configs=[_config(path, config) for path, config in configs.items()],
        secrets=[_secret(name, secret) for name, secret in secrets.items()],
        mounts=[_mount(mount) for mount in mounts] or None,
    )


def _duration(seconds: int) -> str:
    """Seconds as the provider reads them back, or every plan shows a change: 90 is ``1m30s``, 120 is ``2m``."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{hours}h" if hours else ""
    if minutes or (hours and rest):
        text += f"{minutes}m"
    return text + f"{rest}s" if rest or not text else text


def _config(path: str, config: docker.ServiceConfig) -> docker.ServiceTaskSpecContainerSpecConfigArgs:
    return docker.ServiceTaskSpecContainerSpecConfigArgs(
        config_id=config.id, config_name=config.name, file_name=path, file_mode=0o444
    )


def _secret(name: str, secret: docker.Secret) -> docker.ServiceTaskSpecContainerSpecSecretArgs:
    return docker.ServiceTaskSpecContainerSpecSecretArgs(
        secret_id=secret.id,
        secret_name=secret.name,
        file_name=f"/run/secrets/{name}",
        file_uid=RUNTIME_USER,
        file_gid=RUNTIME_USER,
        file_mode=0o400,
    )


def _mount(mount: Mount) -> docker.ServiceTaskSpecContainerSpecMountArgs:
    if mount.volume is None:
        return docker.ServiceTaskSpecContainerSpecMountArgs(type="bind", source=mount.folder, target=mount.target)
    return docker.ServiceTaskSpecContainerSpecMountArgs(type="volume", source=mount.volume.name, target=mount.target)
