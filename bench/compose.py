"""`docker stack deploy` with the same images, edge, health checks and load: what it does to callers."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import yaml

from bench.bad import NEEDLESS, WINDOW, publish
from bench.captured import Captured, capture
from bench.lab import edits, ground
from bench.lab.workspace import SECRETS, wait_until
from bench.laboratory import BASE, FLOW, TEMPLATE, Laboratory
from bench.results import Measurement, say, spread

STACK, PORT, LIMIT = "b-beside", 18181, 600
_NANO = 1_000_000_000


def measure(lab: Laboratory) -> Measurement:
    """Upgrades, reverts and the bad releases of the same images by `docker stack deploy`."""
    taken = Measurement(
        "compose",
        "Beside it: `docker stack deploy`",
        "The same images, edge, configuration, health checks, sizes and load, by `docker stack deploy` with "
        "`start-first` and `failure_action: rollback`, with the default `monitor`: for 5 s, part of the time, a new "
        "task is watched once it is healthy. (What fails before it is healthy is rolled back in any case.) "
        f"{publishing()}",
    )
    stack = lab.environment()
    services = capture(stack)
    bad = publish(lab)
    lab.take_down()
    beside = Beside(lab.root, services, lab.workspace.env)
    try:
        beside.deploy(lab.images[BASE], BASE)
        wait_until("the front door", beside.answers, 180, 1)
        _upgrades(lab, beside, taken)
        _bad(lab, beside, taken, bad)
    finally:
        beside.remove()
    return taken


def _upgrades(lab: Laboratory, beside: Beside, taken: Measurement) -> None:
    took: dict[str, list[float]] = {FLOW: [], TEMPLATE: []}
    with lab.load("compose", PORT) as load:
        for number in range(2 if lab.short else 6):
            version = (FLOW, TEMPLATE)[number % 2]
            for target in (version, BASE):
                took[version].append(beside.deploy(lab.images[target], target))
            say("compose", f"{version}: {took[version][-2]:.1f} s up, {took[version][-1]:.1f} s back")
    report = load.report
    taken.add("upgrades and reverts", sum(map(len, took.values())))
    taken.add("requests", report["requests"])
    taken.add("failed requests", report["failed"])
    taken.add("latency p50, p99, p99.9, max in ms", ", ".join(str(value) for value in report["latency_ms"].values()))
    taken.add("acknowledged orders not readable", report["acknowledged_unreadable"])
    taken.add("time: one flow and the edge's announcement", spread(took[FLOW]))
    taken.add("time: everything", spread(took[TEMPLATE]))


def _bad(lab: Laboratory, beside: Beside, taken: Measurement, versions: dict[str, str]) -> None:
    taken.table = [["bad release", "settled after", "how it ended", "requests", "failed", NEEDLESS, "of all tasks"]]
    beside.deploy(lab.images[BASE], BASE, window=WINDOW)
    for bad in edits.BAD:
        version = versions[bad.name]
        before = beside.running()
        with lab.load(f"compose-{bad.name}", PORT) as load:
            seconds = beside.deploy(lab.released(version), version, window=WINDOW)
            ended = beside.states()
            lost = before - beside.running()
            now = beside.wanted()
            beside.deploy(lab.images[BASE], BASE, window=WINDOW)
        report = load.report
        row = [bad.name, f"{seconds:.0f} s", ", ".join(ended) or "-", report["requests"], report["failed"]]
        row += [sum(task.runs in now for task in lost), len(lost)]
        taken.table.append([str(cell) for cell in row])
        say("compose", f"{bad.name}: {row}")


def publishing() -> str:
    """Why the edge's port is published in host mode, and what follows from it."""
    modules = Path("/lib/modules", platform.release())
    ipvs = Path("/proc/net/ip_vs").exists() or any(modules.rglob("ip_vs.ko*"))
    reason = (
        "ingress publishing, which this kernel could do (it has IPVS), was not measured"
        if ipvs
        else f"ingress publishing and virtual IPs do not work, this kernel (Linux {platform.release()}) has no IPVS"
    )
    return (
        f"The edge publishes its port in host mode: {reason}. Therefore it alone has `stop-first`: with `start-first` "
        "its new task would wait for ever for the port that the old one holds on this one node. Where ingress "
        "publishing works, fewer requests may fail."
    )


@dataclass(frozen=True)
class Task:
    """A running task: its service and what it runs, and its container."""

    runs: tuple[str, str]
    container: str


class Beside:
    """The product as a stack of the docker client."""

    def __init__(self, folder: Path, services: list[Captured], env: dict[str, str]) -> None:
        self._folder = folder / "compose"
        self._folder.mkdir(exist_ok=True)
        self._services = [service for service in services if not service.gate]
        self._env = env
        self._client: Any = docker.DockerClient.from_env(timeout=60)
        for name, value in SECRETS.items():
            (self._folder / name).write_text(value)

    def deploy(self, images: dict[str, str], version: str, window: int | None = None) -> float:
        """Deploy these images and wait until every service has settled; seconds it took.

        ``window``: seconds that a new task has to become healthy; None: those of the recipe.
        """
        document = self._document(images, version, window)
        path = self._folder / "compose.yaml"
        path.write_text(yaml.safe_dump(document))
        began = time.monotonic()
        command = ["docker", "stack", "deploy", "--resolve-image", "never", "--detach=true", "-c", str(path), STACK]
        ground.run(*command, env=self._env, cwd=self._folder)
        wait_until("docker stack deploy settled", self._settled, LIMIT, 0.1)
        return time.monotonic() - began

    def _document(self, images: dict[str, str], version: str, window: int | None) -> dict[str, Any]:
        configs: dict[str, Any] = {}
        services = {each.runtime: self._service(each, images, version, configs) for each in self._services}
        for service in services.values():
            if window is not None:
                service["healthcheck"]["start_period"] = f"{window}s"
        return {
            "version": "3.8",
            "services": services,
            "configs": configs,
            "secrets": {name: {"file": f"./{name}"} for name in SECRETS},
            "volumes": {f"{each.runtime}-data": {} for each in self._services if each.container.get("Mounts")},
            "networks": {"inside": {"driver": "overlay"}},
        }

    def _service(self, each: Captured, images: dict[str, str], version: str, configs: dict[str, Any]) -> dict[str, Any]:
        container, health = each.container, each.container["Healthcheck"]
        limits = each.spec["TaskTemplate"]["Resources"]["Limits"]
        update = {"order": "stop-first" if each.front else "start-first", "failure_action": "rollback"}
        service: dict[str, Any] = {
            "image": images[each.runtime],
            "user": container["User"],
            "stop_signal": container["StopSignal"],
            "stop_grace_period": f"{container['StopGracePeriod'] // _NANO}s",
            "healthcheck": {
                "test": health["Test"],
                "interval": f"{health['Interval'] // _NANO}s",
                "timeout": f"{health['Timeout'] // _NANO}s",
                "retries": health["Retries"],
                "start_period": f"{health['StartPeriod'] // _NANO}s",
            },
            "configs": [self._config(each, path, text, version, configs) for path, text in each.files.items()],
            "secrets": [
                {"source": Path(secret["File"]["Name"]).name, "uid": "10001", "gid": "10001", "mode": 0o400}
                for secret in container.get("Secrets") or []
            ],
            "volumes": [f"{each.runtime}-data:{mount['Target']}" for mount in container.get("Mounts") or []],
            "networks": {"inside": {"aliases": [each.runtime]}},
            "deploy": {
                "endpoint_mode": "dnsrr",
                "replicas": each.spec["Mode"]["Replicated"]["Replicas"],
                "resources": {
                    "limits": {"memory": str(limits["MemoryBytes"]), "cpus": str(limits["NanoCPUs"] / _NANO)}
                },
                "restart_policy": {"condition": "any", "delay": "2s"},
                "update_config": update,
                "rollback_config": {"order": update["order"], "parallelism": 1},
            },
        }
        if each.front:
            service["ports"] = [{"target": 8080, "published": PORT, "protocol": "tcp", "mode": "host"}]
        return service

    def _config(self, each: Captured, path: str, text: str, version: str, configs: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("version.json"):
            text = json.dumps({"version": version}) + "\n"
        name = f"{each.runtime}-{hashlib.sha256((path + text).encode()).hexdigest()[:10]}"
        (self._folder / name).write_text(text)
        configs[name] = {"file": f"./{name}"}
        return {"source": name, "target": path, "mode": 0o444}

    def _all(self) -> list[Any]:
        return list(self._client.services.list(filters={"label": f"com.docker.stack.namespace={STACK}"}))

    def _settled(self) -> bool:
        """Every update has ended in one way or another, and every service has the tasks it should have."""
        return all(map(_is_settled, self._all()))

    def states(self) -> list[str]:
        """How the updates ended, by runtime, those that went through left out."""
        told = []
        for service in self._all():
            state = (service.attrs.get("UpdateStatus") or {}).get("State", "completed")
            if state != "completed":
                told.append(f"{service.name.removeprefix(f'{STACK}_')}: {state}")
        return sorted(told)

    def running(self) -> set[Task]:
        """All running tasks; one that is restarted gets a new container."""
        return {
            Task((service.name, _plain(task["Spec"])), container)
            for service in self._all()
            for task in service.tasks(filters={"desired-state": "running"})
            if (container := task["Status"].get("ContainerStatus", {}).get("ContainerID"))
        }

    def wanted(self) -> set[tuple[str, str]]:
        """What each service is to run."""
        return {(service.name, _plain(service.attrs["Spec"]["TaskTemplate"])) for service in self._all()}

    def answers(self) -> bool:
        """Whether the front door does."""
        from bench.lab.door import Door

        try:
            return Door(f"http://127.0.0.1:{PORT}").get("/health").status == 200
        except OSError:
            return False

    def remove(self) -> None:
        """Remove the stack and its volumes."""
        ground.run("docker", "stack", "rm", STACK, env=self._env, check=False)
        label = {"label": f"com.docker.stack.namespace={STACK}"}
        wait_until("the stack gone", lambda: not self._client.api.containers(filters=label), 120, 0.5)
        for volume in self._client.volumes.list(filters=label):
            volume.remove()
        self._client.close()


def _is_settled(service: Any) -> bool:
    """Whether a service's update has ended (the engine forgets the state of the last one when it gets a new one), and
    as many tasks as wanted run what is wanted: the engine takes up an update a moment after it was told."""
    state = (service.attrs.get("UpdateStatus") or {}).get("State", "completed")
    if "paused" in state:
        return True
    if state in ("updating", "rollback_started"):
        return False
    specification = service.attrs["Spec"]
    wanted = _plain(specification["TaskTemplate"])
    running = [
        task
        for task in service.tasks(filters={"desired-state": "running"})
        if task["Status"]["State"] == "running" and _plain(task["Spec"]) == wanted
    ]
    return len(running) >= int(specification["Mode"]["Replicated"]["Replicas"])


def _plain(template: dict[str, Any]) -> str:
    """What a task runs, without what the engine fills in for services only, in a form that compares."""
    return json.dumps({key: value for key, value in template.items() if key != "Runtime"}, sort_keys=True)
