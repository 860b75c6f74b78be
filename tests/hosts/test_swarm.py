"""A sealed host in a Swarm: it joins as a worker, serves the sample product's front door, comes back after a reboot, is
drained and removed. In this order: the Swarm is one, and each test goes on where the one before it ended."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker import types

from bench.lab.workspace import wait_until
from hosts.namespaced_engine import REGISTRY, NamespacedEngine, do
from tests.hosts.conftest import Baked
from tests.hosts.machine import Machine, Tap

MANAGER, WORKER = "10.77.0.1", "10.77.0.2"
NETWORK = f"[Match]\nName=en*\n[Network]\nAddress={WORKER}/24\n"
NAME = "host-in-swarm"
LIMIT = 900  # seconds: an emulated processor unpacks an image
SECOND = 1_000_000_000  # in Docker's nanoseconds
VERSION = {"version": "served-by-a-host"}
SLOW = 15  # seconds that an answer takes
FORWARD = (
    "systemd-run --unit=registry systemd-socket-activate --listen=127.0.0.1:{port} "
    "/lib/systemd/systemd-socket-proxyd {manager}:{port}"
)
CONFIGURATION = "/opt/stele/config/haproxy.cfg"
# What the front door leads to, on the manager: ready, and slow where it is asked to be.
BEHIND = f"""\
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend behind
  bind :8080
  bind :9000
  tcp-request inspect-delay {SLOW}s
  tcp-request content accept unless {{ path /orders/slow }}
  tcp-request content accept if WAIT_END
  http-request return status 200 content-type text/plain lf-string "%[path] from behind"
"""


class Manager(NamespacedEngine):
    """An engine in a network namespace, with a tap for a host beside it."""

    what = "the manager"

    def wire(self) -> None:
        """Its end of the tap."""
        for words in ("tuntap add tap0 mode tap", f"address add {MANAGER}/24 dev tap0", "link set tap0 up"):
            do("ip", "-n", self.name, *words.split())


@dataclass(frozen=True)
class Site:
    """A manager, and a host beside it."""

    engine: Manager
    manager: Any
    machine: Machine
    port: str  # of the registry

    def lead_to_registry(self) -> None:
        """On the host as everywhere it is 127.0.0.1:PORT. Until the host is off."""
        self.machine.said(FORWARD.format(manager=MANAGER, port=self.port))

    def node(self) -> Any:
        """The host as the manager sees it."""
        return next((each for each in self.manager.nodes.list() if each.attrs["Spec"]["Role"] == "worker"), None)

    def get(self, path: str) -> str:
        """What the front door on the host answers; empty when it does not."""
        command = self.engine.inside("curl", "--silent", "--fail", "--max-time", "60", f"http://{WORKER}:8080{path}")
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def site(baked: Baked, platform: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The Swarm is there before the host boots for the first time, with the credential to join it."""
    folder = tmp_path_factory.mktemp("swarm")
    registry = platform["STELE_REGISTRY"]
    engine = Manager(f"hosts-{os.getpid()}", folder / "engine", registry)
    with warnings.catch_warnings():
        # The client leaves the sockets of attempts open that it makes while the engine is starting.
        warnings.simplefilter("ignore", ResourceWarning)
        engine.start()
        gc.collect()
    try:
        with closing(engine.client()) as manager, _registry_for(engine.name, registry, folder):
            manager.swarm.init(advertise_addr=MANAGER, listen_addr=f"{MANAGER}:2377")
            token = manager.swarm.attrs["JoinTokens"]["Worker"]
            told = {"stele.join": f"{token} {MANAGER}:2377", "stele.network": NETWORK, "stele.hostname": NAME}
            wire = Tap(engine.name, "tap0", WORKER)
            with Machine(baked.disk, folder / "host", told, accelerator=baked.accelerator, wire=wire) as machine:
                yield Site(engine, manager, machine, registry.rpartition(":")[2])
    finally:
        engine.remove()


@contextmanager
def _registry_for(namespace: str, registry: str, folder: Path) -> Iterator[None]:
    """The registry of this machine, for a name space under the manager's address."""
    settings = folder / "registry.cfg"
    settings.write_text(REGISTRY.format(address=MANAGER, port=registry.rpartition(":")[2], namespace=namespace))
    with subprocess.Popen(["haproxy", "-db", "-f", str(settings)]) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture(scope="module")
def edge(site: Site, baked: Baked) -> Any:
    """The service of the front door, on the host alone, with stand-ins for what is behind it on the manager."""
    image = baked.factory.outputs()["images"]["edge"]
    network = site.manager.networks.create("orders", driver="overlay").id
    behind = types.NetworkAttachmentConfig(network, aliases=["intake", "ledger"])
    _service(site, "behind", image, "manager", networks=[behind], configs=_file(site, CONFIGURATION, BEHIND))
    return _service(
        site,
        "edge",
        image,
        "worker",
        networks=[types.NetworkAttachmentConfig(network)],
        configs=_file(site, "/etc/stele/version.json", json.dumps(VERSION)),
        ports=[{"Protocol": "tcp", "PublishMode": "host", "TargetPort": 8080, "PublishedPort": 8080}],
        healthcheck=types.Healthcheck(
            test=["CMD", "/opt/stele/health", "ready"], interval=5 * SECOND, timeout=30 * SECOND, retries=60
        ),
        stop_grace_period=60 * SECOND,
    )


def _file(site: Site, path: str, content: str) -> list[types.ConfigReference]:
    """A file that a task sees under this path."""
    name = Path(path).name
    return [types.ConfigReference(site.manager.configs.create(name=name, data=content.encode()).id, name, path)]


def _service(site: Site, name: str, image: str, role: str, *, ports: Any = None, **more: Any) -> Any:
    """A service that runs on managers, or on workers."""
    return site.manager.services.create(
        image,
        name=name,
        constraints=[f"node.role=={role}"],
        endpoint_spec=types.EndpointSpec(mode="dnsrr", ports=ports),
        user="10001",
        **more,
    )


def states(service: Any) -> set[str]:
    """Of the tasks that are to run."""
    return {task["Status"]["State"] for task in service.tasks({"desired-state": "running"})}


def test_it_joins_as_a_worker_under_its_name(site: Site) -> None:
    wait_until("a worker", lambda: site.node() is not None, LIMIT)
    wait_until("ready", lambda: site.node().attrs["Status"]["State"] == "ready", LIMIT)
    assert site.node().attrs["Description"]["Hostname"] == NAME


def test_a_task_of_the_product_serves_on_it(site: Site, edge: Any) -> None:
    site.lead_to_registry()
    # A task is running, for Swarm, once its health check has said so: /opt/stele/health ready.
    wait_until("the front door to be healthy", lambda: states(edge) == {"running"}, LIMIT)
    assert json.loads(site.get("/version")) == VERSION
    assert site.get("/orders/1") == "/orders/1 from behind"  # through the overlay


def test_a_reboot_keeps_its_keys_its_state_and_its_place_in_the_swarm(site: Site, edge: Any) -> None:
    machine = site.machine
    key = "cat /var/lib/ssh/ssh_host_ed25519_key.pub"
    node = "docker info --format '{{.Swarm.NodeID}} {{.Swarm.LocalNodeState}}'"
    boot = "cat /proc/sys/kernel/random/boot_id"
    size = "df --block-size=1M --output=size /var | tail -1"
    machine.said("echo kept > /var/lib/stele/kept && sync")
    before = {command: machine.said(command) for command in (key, node, boot, size)}

    machine.reboot("8G")
    assert machine.said(boot) != before[boot]
    assert machine.said(key) == before[key]
    assert machine.said("cat /var/lib/stele/kept") == "kept"
    assert 2000 < int(machine.said(size)) - int(before[size]) <= 2048  # MiB, of the 2 GiB that the disk has grown
    wait_until("the host in the Swarm", lambda: machine.ssh(node).stdout.strip() == before[node], LIMIT, 2)
    wait_until("the front door to answer", lambda: site.get("/orders/2") == "/orders/2 from behind", LIMIT, 2)
    wait_until("the front door to be healthy", lambda: states(edge) == {"running"}, LIMIT)


def test_it_is_drained_leaves_and_is_removed(site: Site, edge: Any) -> None:
    node = site.node()
    (task,) = (each["ID"] for each in edge.tasks({"desired-state": "running"}))
    with ThreadPoolExecutor() as callers:
        answer = callers.submit(site.get, "/orders/slow")
        time.sleep(SLOW / 3)
        node.update(node.attrs["Spec"] | {"Availability": "drain"})
        assert answer.result() == "/orders/slow from behind"  # the task was let finish what it had begun
    wait_until("the host to be empty", lambda: site.machine.said("docker ps --quiet") == "", LIMIT, 2)
    (ended,) = (each["Status"] for each in edge.tasks({"node": node.id}) if each["ID"] == task)
    assert (ended["State"], ended["ContainerStatus"].get("ExitCode", 0)) == ("shutdown", 0)
    assert states(edge) == {"pending"}  # it may go nowhere else

    site.machine.said("docker swarm leave")
    wait_until("the manager to know", lambda: site.node().attrs["Status"]["State"] == "down", LIMIT)
    site.manager.api.remove_node(node.id)
    assert site.node() is None
