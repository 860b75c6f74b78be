"""Where the program touches Pulumi's configuration: the one place that reads it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

from components.cluster_settings import ClusterSettings
from components.settings import NAME, EnvironmentSettings, ReleaseSettings, SettingsError, parse
from components.storage_settings import StorageSettings
from hosts.ssh import REFUSED, refusal, ssh  # no docker-py: every preview would load it

STACK_NAME_LENGTH = 20
RESERVED = "platform"  # the local platform's own rules are in the packet-filter table that this stack's would have
_ENGINE_PATIENCE = 5  # seconds
_SLOW = 60  # seconds for an answer, over SSH with its login
CHECKOUT = Path(__file__).resolve().parent.parent


def read_settings() -> ReleaseSettings | EnvironmentSettings | StorageSettings | ClusterSettings:
    """The validated settings of this stack; a bad value ends the program with its one line and no object declared."""
    stack = pulumi.get_stack()
    if not NAME.fullmatch(stack) or len(stack) > STACK_NAME_LENGTH or stack == RESERVED:
        stop(
            f"stack {stack!r} is not allowed; allowed: lower-case letters, digits and hyphens, starting with a letter, "
            f"at most {STACK_NAME_LENGTH} characters (names of services must fit into 63), not {RESERVED!r}"
        )
    prefix = f"{pulumi.get_project()}:"
    raw = {key.removeprefix(prefix): str(value) for key, value in CONFIG.get().items() if key.startswith(prefix)}
    secret_keys = frozenset(name for name in raw if is_config_secret(prefix + name))
    defaults = {
        "registry": os.environ.get("STELE_REGISTRY", "127.0.0.1:5001"),
        "releases": os.environ.get("STELE_RELEASES", str(CHECKOUT / ".stele" / "releases")),
    }
    if store := os.environ.get("STELE_STORE"):
        defaults["endpoint"] = store
    try:
        settings = parse(raw, defaults=defaults, secret_keys=secret_keys)
    except SettingsError as error:
        stop(str(error))
    if isinstance(settings, EnvironmentSettings):
        engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        return replace(settings, swarm=_require_engine(engine, settings.cluster))
    return settings


def _require_engine(host: str, cluster: str | None) -> str | None:
    """The ID of the Swarm that the engine at ``host`` manages, if it says one. Stop with one line when nobody listens
    there: otherwise every resource complains on its own.

    Of a ``cluster`` it is not asked for: that stack's outputs say which engines are its.
    """
    kind, _, address = host.partition("://")
    try:
        if kind == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_ENGINE_PATIENCE)
                probe.connect(address)
                return None if cluster else _swarm_behind(probe)
        elif kind == "tcp":
            name, _, port = address.rstrip("/").rpartition(":")
            with socket.create_connection((name.strip("[]"), int(port)), _ENGINE_PATIENCE) as probe:
                return None if cluster else _swarm_behind(probe)
        elif kind == "ssh":
            return _swarm_over_ssh(host)
    except (OSError, ValueError) as error:
        mends = [f"try: ssh {address} true"] if kind == "ssh" else []
        if cluster:
            mends.append(f"export DOCKER_HOST of another manager: pulumi stack output hosts -s {cluster}")
        mend = "; or ".join(mends) or 'start it (`platform/local up`), or: eval "$(make -s env)"'
        stop(f"the Docker engine at {host} (DOCKER_HOST) does not answer: {error}; {mend}")
    return None


def _swarm_behind(probe: socket.socket) -> str | None:
    """What the engine at the other end says. One that speaks TLS, or is slow, says nothing here."""
    with suppress(OSError, ValueError, http.client.HTTPException):
        probe.settimeout(_SLOW)
        asked = http.client.HTTPConnection("engine")
        asked.sock = probe
        asked.request("GET", "/info")
        return _swarm_in(asked.getresponse().read())
    return None


def _swarm_over_ssh(host: str) -> str | None:
    """The same. Raises OSError when SSH does not get there."""
    command = ssh(host, "docker info --format '{\"Swarm\": {{json .Swarm}}}'")
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SLOW)
    except subprocess.TimeoutExpired as error:
        raise OSError(refusal(host, f"no answer within {_SLOW} s")) from error
    if asked.returncode == REFUSED:
        raise OSError(refusal(host, asked.stderr))
    with suppress(ValueError):
        return _swarm_in(asked.stdout)
    return None


def _swarm_in(info: str | bytes) -> str | None:
    """From what an engine says of itself."""
    found = json.loads(info)
    cluster = (found.get("Swarm") or {}).get("Cluster") or {}
    return cluster.get("ID") or None


def stop(line: str) -> NoReturn:
    """End the program with one line on the stack's diagnostics, without a Python traceback."""
    pulumi.log.error(line)
    sys.stdout.flush()
    raise SystemExit(32)
