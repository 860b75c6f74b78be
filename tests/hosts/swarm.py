"""The cluster that a host joins. Its manager is an engine in a network namespace, with a tap for the host beside it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker import types
from testinfra.host import Host

from bench.lab.workspace import Stack, Workspace
from hosts.namespaced_engine import REGISTRY, do
from hosts.wanted import HOST_LABEL
from tests.hosts.machine import LIMIT, Machine, Tap
from tests.ssh.machines import Login, SshEngine

MANAGER, WORKER = "10.77.0.1", "10.77.0.2"
NETWORK = f"[Match]\nName=en*\n[Network]\nAddress={WORKER}/24\n"
SECOND = 1_000_000_000  # in Docker's nanoseconds
VERSION = {"version": "served-by-a-host"}
SLOW = 15  # seconds that an answer takes
FORWARD = (
    "systemd-run --unit=registry systemd-socket-activate --listen=127.0.0.1:{port} "
    "/lib/systemd/systemd-socket-proxyd {manager}:{port}"
)
PUBLIC, DOOR = 8080, 29001  # the port that callers know, and that of this generation of the front door
GATE = f"""\
GATE_TABLE=stele_hosts
GATE_PORT={PUBLIC}
GATE_TARGET={DOOR}
GATE_EXPOSURE=all
GATE_GENERATION=0123456789ab
GATE_RANGE=29000-29999
"""
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

ON_EACH: dict[str, Any] = {"mode": types.ServiceMode("replicated", replicas=2), "maxreplicas": 1}


class Manager(SshEngine):
    """An engine in a network namespace, with a tap for a host beside it."""

    what = "the manager"

    def wire(self) -> None:
        """Its end of the tap."""
        for words in ("tuntap add tap0 mode tap", f"address add {MANAGER}/24 dev tap0", "link set tap0 up"):
            do("ip", "-n", self.name, *words.split())


@dataclass(frozen=True)
class Site:
    """A cluster of one manager, and the place for a host beside it."""

    cluster: Stack
    login: Login
    engine: Manager
    manager: Any
    port: str  # of the registry

    def hosts(self, machine: Machine | None = None) -> dict[str, dict[str, str]]:
        """The cluster's, for its stack: the manager, and the machine beside it."""
        manager = {"a": {"role": "manager", "address": self.engine.user}}
        if machine is None:
            return manager
        self.login.know(WORKER, machine.host.check_output("cat /var/lib/ssh/ssh_host_ed25519_key.pub"))
        return manager | {"b": {"role": "worker", "address": f"root@{WORKER}"}}

    @property
    def tap(self) -> Tap:
        """Where the host is plugged in."""
        return Tap(self.engine.name, "tap0", WORKER)

    def credentials(self, machine: Machine) -> dict[str, str]:
        """What makes it a worker of this Swarm, and lets the cluster's user in, too."""
        token = self.manager.swarm.attrs["JoinTokens"]["Worker"]
        return {
            "stele.join": f"{token} {MANAGER}:2377",
            "stele.network": NETWORK,
            "ssh.authorized_keys.root": machine.key.with_suffix(".pub").read_text() + self.login.key.read_text(),
        }

    def be_patient(self) -> None:
        """An emulated processor that others use, too, misses heartbeats; then its tasks were started anew for ever."""
        found = self.manager.api.inspect_swarm()
        spec = found["Spec"]
        spec["Dispatcher"]["HeartbeatPeriod"] = 60 * SECOND
        self.manager.api.update_swarm(found["Version"]["Index"], swarm_spec=spec)

    def lead_to_registry(self, host: Host) -> None:
        """On the host as everywhere it is 127.0.0.1:PORT. Until the host is off."""
        host.check_output(FORWARD.format(manager=MANAGER, port=self.port))

    def node(self) -> Any:
        """The host as the manager sees it."""
        return next((each for each in self.manager.nodes.list() if each.attrs["Spec"]["Role"] == "worker"), None)

    def label(self) -> str | None:
        """Which host of the cluster it is."""
        node = self.node()
        return node.attrs["Spec"]["Labels"].get(HOST_LABEL) if node else None

    def get(self, path: str) -> str:
        """What the front door on the host answers; empty when it does not."""
        command = self.engine.inside(
            "curl", "--silent", "--fail", "--max-time", "60", f"http://{WORKER}:{PUBLIC}{path}"
        )
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def front_door(self, image: str) -> list[Any]:
        """Its services, an edge and a gate on each host, with stand-ins for what is behind them on the manager."""
        network = self.manager.networks.create("orders", driver="overlay").id
        behind = types.NetworkAttachmentConfig(network, aliases=["intake", "ledger"])
        self._service(
            "behind",
            image,
            networks=[behind],
            configs=self._file(CONFIGURATION, BEHIND),
            constraints=["node.role==manager"],
        )
        edge = self._service(
            "edge",
            image,
            networks=[types.NetworkAttachmentConfig(network)],
            configs=self._file("/etc/stele/version.json", json.dumps(VERSION)),
            ports=[{"Protocol": "tcp", "PublishMode": "host", "TargetPort": 8080, "PublishedPort": DOOR}],
            healthcheck=_health("/opt/stele/health", "ready"),
            stop_grace_period=60 * SECOND,
            **ON_EACH,
        )
        gate = self._service(
            "gate",
            image,
            networks=[types.NetworkAttachmentConfig("host")],
            configs=self._file("/etc/stele/gate.properties", GATE),
            command=["/opt/stele/gate", "hold"],
            healthcheck=_health("/opt/stele/gate", "check"),
            user="0",
            cap_add=["CAP_NET_ADMIN"],
            **ON_EACH,
        )
        return [edge, gate]

    def _file(self, path: str, content: str) -> list[types.ConfigReference]:
        """A file that a task sees under this path."""
        name = Path(path).name
        return [types.ConfigReference(self.manager.configs.create(name=name, data=content.encode()).id, name, path)]

    def _service(self, name: str, image: str, *, ports: Any = None, **more: Any) -> Any:
        """A service as Stele makes them."""
        endpoint = types.EndpointSpec(mode="dnsrr", ports=ports)
        return self.manager.services.create(image, name=name, endpoint_spec=endpoint, **{"user": "10001"} | more)


def _health(*command: str) -> types.Healthcheck:
    return types.Healthcheck(test=["CMD", *command], interval=5 * SECOND, timeout=30 * SECOND, retries=60)


def states(services: Iterable[Any]) -> list[str]:
    """Of the tasks that are to run."""
    return [task["Status"]["State"] for each in services for task in each.tasks({"desired-state": "running"})]


@contextmanager
def cluster(folder: Path, registry: str, workspace: Workspace, version: str, image: str) -> Iterator[Site]:
    """One that is there for a while, of this release and host image, with a way to this machine's registry under the
    manager's address."""
    engine = Manager(f"hosts-{os.getpid()}", folder / "engine", registry)
    login = Login(folder / "login", engine.inside())
    engine.told(login, MANAGER, image)
    engine.start()
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            closing(engine.client()) as manager,
            _registry_for(engine.name, registry, folder),
        ):
            patch.setitem(workspace.env, "PATH", f"{login.bin}:{workspace.env['PATH']}")
            stack = Stack(workspace, "h-cluster", {"kind": "cluster", "version": version, "window": LIMIT}, {})
            site = Site(stack, login, engine, manager, registry.rpartition(":")[2])
            stack.up(hosts=site.hosts())
            yield site
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
