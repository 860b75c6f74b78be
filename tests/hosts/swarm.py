"""The Swarm that a host joins. Its manager is an engine in a network namespace, with a tap for the host beside it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker import types
from testinfra.host import Host

from hosts.namespaced_engine import REGISTRY, NamespacedEngine, do
from tests.hosts.machine import Tap

MANAGER, WORKER = "10.77.0.1", "10.77.0.2"
NETWORK = f"[Match]\nName=en*\n[Network]\nAddress={WORKER}/24\n"
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
    """A Swarm of one manager, and the place for a host beside it."""

    engine: Manager
    manager: Any
    port: str  # of the registry

    @property
    def tap(self) -> Tap:
        """Where the host is plugged in."""
        return Tap(self.engine.name, "tap0", WORKER)

    @property
    def credentials(self) -> dict[str, str]:
        """What makes it a worker of this Swarm."""
        token = self.manager.swarm.attrs["JoinTokens"]["Worker"]
        return {"stele.join": f"{token} {MANAGER}:2377", "stele.network": NETWORK}

    def lead_to_registry(self, host: Host) -> None:
        """On the host as everywhere it is 127.0.0.1:PORT. Until the host is off."""
        host.check_output(FORWARD.format(manager=MANAGER, port=self.port))

    def node(self) -> Any:
        """The host as the manager sees it."""
        return next((each for each in self.manager.nodes.list() if each.attrs["Spec"]["Role"] == "worker"), None)

    def get(self, path: str) -> str:
        """What the front door on the host answers; empty when it does not."""
        command = self.engine.inside("curl", "--silent", "--fail", "--max-time", "60", f"http://{WORKER}:8080{path}")
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def front_door(self, image: str) -> Any:
        """Its service, on the host alone, with stand-ins for what is behind it on the manager."""
        network = self.manager.networks.create("orders", driver="overlay").id
        behind = types.NetworkAttachmentConfig(network, aliases=["intake", "ledger"])
        self._service("behind", image, "manager", networks=[behind], configs=self._file(CONFIGURATION, BEHIND))
        return self._service(
            "edge",
            image,
            "worker",
            networks=[types.NetworkAttachmentConfig(network)],
            configs=self._file("/etc/stele/version.json", json.dumps(VERSION)),
            ports=[{"Protocol": "tcp", "PublishMode": "host", "TargetPort": 8080, "PublishedPort": 8080}],
            healthcheck=types.Healthcheck(
                test=["CMD", "/opt/stele/health", "ready"], interval=5 * SECOND, timeout=30 * SECOND, retries=60
            ),
            stop_grace_period=60 * SECOND,
        )

    def _file(self, path: str, content: str) -> list[types.ConfigReference]:
        """A file that a task sees under this path."""
        name = Path(path).name
        return [types.ConfigReference(self.manager.configs.create(name=name, data=content.encode()).id, name, path)]

    def _service(self, name: str, image: str, role: str, *, ports: Any = None, **more: Any) -> Any:
        """A service that runs on managers, or on workers."""
        return self.manager.services.create(
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


def running(service: Any) -> set[str]:
    """IDs of the tasks that run and are to."""
    tasks = service.tasks({"desired-state": "running"})
    return {task["ID"] for task in tasks if task["Status"]["State"] == "running"}


def status(service: Any, task: str) -> dict[str, Any]:
    """Of one task, by its ID."""
    found: dict[str, Any] = next(each["Status"] for each in service.tasks() if each["ID"] == task)
    return found


@contextmanager
def swarm(folder: Path, registry: str) -> Iterator[Site]:
    """One that is there for a while, with a way to this machine's registry under the manager's address."""
    engine = Manager(f"hosts-{os.getpid()}", folder / "engine", registry)
    engine.start()
    try:
        with closing(engine.client()) as manager, _registry_for(engine.name, registry, folder):
            manager.swarm.init(advertise_addr=MANAGER, listen_addr=f"{MANAGER}:2377")
            yield Site(engine, manager, registry.rpartition(":")[2])
    finally:
        engine.remove()


@contextmanager
def _registry_for(namespace: str, registry: str, folder: Path) -> Iterator[None]:
    settings = folder / "registry.cfg"
    settings.write_text(REGISTRY.format(address=MANAGER, port=registry.rpartition(":")[2], namespace=namespace))
    with subprocess.Popen(["haproxy", "-db", "-f", str(settings)]) as process:
        try:
            yield
        finally:
            process.kill()
