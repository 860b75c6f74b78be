"""A sealed host in a Swarm: it joins as a worker, runs a task of the sample product, is drained and removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker.types
import pytest

from bench.lab.workspace import SECRETS, wait_until
from commands.second_engine import SecondEngine
from tests.hosts.conftest import Baked
from tests.hosts.machine import Machine, Tap

MANAGER, WORKER = "10.77.0.1", "10.77.0.2"
NETWORK = f"[Match]\nName=en*\n[Network]\nAddress={WORKER}/24\n"
USER = "10001"
LIMIT = 1200  # seconds: an emulated processor unpacks an image and makes a database
# The registry is on this machine's loopback, under one name for everybody.
REGISTRY = """\
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
listen registry
  bind {manager}:{port} namespace {namespace}
  server registry 127.0.0.1:{port}
"""
FORWARD = (
    "systemd-run --unit=registry systemd-socket-activate --listen=127.0.0.1:{port} "
    "/lib/systemd/systemd-socket-proxyd {manager}:{port}"
)


@dataclass(frozen=True)
class Site:
    """A manager in a network namespace, and a host beside it."""

    manager: Any
    machine: Machine


@pytest.fixture(scope="module")
def site(baked: Baked, platform: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("swarm")
    registry = platform["STELE_REGISTRY"]
    engine = SecondEngine(f"hosts-{os.getpid()}", folder / "engine", registry)
    engine.start()
    try:
        for words in (
            "tuntap add tap0 mode tap",
            f"address add {MANAGER}/24 dev tap0",
            "link set tap0 up",
        ):
            subprocess.run(["ip", "-n", engine.name, *words.split()], check=True)
        manager = engine.client()
        manager.swarm.leave(force=True)
        manager.swarm.init(advertise_addr=MANAGER, listen_addr=f"{MANAGER}:2377")
        token = manager.swarm.attrs["JoinTokens"]["Worker"]
        port = registry.rpartition(":")[2]
        settings = folder / "registry.cfg"
        settings.write_text(REGISTRY.format(manager=MANAGER, port=port, namespace=engine.name))
        forward = subprocess.Popen(["haproxy", "-db", "-f", str(settings)])
        try:
            credentials = {"stele.join": f"{token} {MANAGER}:2377", "stele.network": NETWORK}
            wire = Tap(engine.name, "tap0", WORKER)
            with Machine(baked.disk, folder / "host", credentials, accelerator=baked.accelerator, wire=wire) as machine:
                done = machine.ssh(FORWARD.format(manager=MANAGER, port=port))
                assert done.returncode == 0, done.stderr
                yield Site(manager, machine)
        finally:
            forward.kill()
            forward.wait()
    finally:
        engine.remove()


def worker(site: Site) -> Any:
    """The host as the manager sees it."""
    found = [node for node in site.manager.nodes.list() if node.attrs["Spec"]["Role"] == "worker"]
    return found[0] if found else None


def states(service: Any) -> set[str]:
    """Of the tasks that are to run."""
    return {task["Status"]["State"] for task in service.tasks({"desired-state": "running"})}


def test_it_joins_runs_a_task_and_goes(site: Site, baked: Baked) -> None:
    wait_until("a worker", lambda: worker(site) is not None, LIMIT)
    wait_until("ready", lambda: worker(site).attrs["Status"]["State"] == "ready", LIMIT)

    client = site.manager
    secret = client.secrets.create(name="database-password", data=SECRETS["database-password"])
    config = client.configs.create(name="environment", data=b"ENVIRONMENT=hosts\n")
    service = client.services.create(
        baked.factory.outputs()["images"]["database"],
        name="database",
        constraints=["node.role==worker"],
        mounts=[docker.types.Mount("/data", "database")],
        secrets=[docker.types.SecretReference(secret.id, "database-password", "database-password", USER, USER, 0o400)],
        configs=[
            docker.types.ConfigReference(config.id, "environment", "/etc/stele/environment.properties", USER, USER)
        ],
    )
    wait_until("the database to be healthy", lambda: "(healthy)" in site.machine.ssh("docker ps").stdout, LIMIT)
    assert states(service) == {"running"}

    node = worker(site)
    node.update(node.attrs["Spec"] | {"Availability": "drain"})
    wait_until("the host to be empty", lambda: site.machine.ssh("docker ps --quiet").stdout == "", LIMIT)
    assert states(service) == {"pending"}  # it goes nowhere else: its state is on that host
    assert site.machine.ssh("docker swarm leave").returncode == 0
    wait_until("the manager to know", lambda: worker(site).attrs["Status"]["State"] == "down", LIMIT)
    client.api.remove_node(node.id)
    assert worker(site) is None
