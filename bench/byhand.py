"""Upgrade time against replacing the very same services by hand with a docker client."""

from __future__ import annotations

import statistics
import time
from typing import Any

import docker

from bench.captured import Captured, capture
from bench.lab.door import Door
from bench.lab.workspace import SECRETS, wait_until
from bench.laboratory import BASE, FLOW, TEMPLATE, Laboratory, timed
from bench.results import Measurement, say, spread

NAME, PORT, LABELS = "b-hand", 18182, {"stele.stack": "b-hand"}


def measure(lab: Laboratory) -> Measurement:
    """The same upgrades and reverts, by `pulumi up` and by hand, in turn for each kind of release."""
    taken = Measurement(
        "byhand",
        "Upgrade time against doing it by hand",
        "By hand: with the engine's API, the same specifications (health checks and windows included): create what is "
        "new, all at once, wait until it is healthy, then the edge, then its gate, then remove what is old in the "
        "opposite order, and wait until that has ended. No load on either. By hand nothing is checked, planned or "
        "recorded.",
    )
    rounds = 1 if lab.short else 3
    stack = lab.environment()
    generations: dict[str, list[Captured]] = {BASE: capture(stack)}
    mine: dict[str, list[float]] = {FLOW: [], TEMPLATE: []}
    for version in mine:
        for _ in range(rounds):
            mine[version].append(timed(lambda version=version: stack.up(version=version)))  # type: ignore[misc]
            generations.setdefault(version, capture(stack))
            mine[version].append(timed(lambda: stack.up(version=BASE)))
        say("byhand", f"pulumi up, {version}: {spread(mine[version])}")
    lab.take_down()
    hand = ByHand()
    try:
        hand.replace([], generations[BASE])
        for version, what in ((FLOW, "one flow and the edge"), (TEMPLATE, "everything")):
            took = []
            for _ in range(rounds):
                took.append(timed(lambda version=version: hand.replace(generations[BASE], generations[version])))  # type: ignore[misc]
                took.append(timed(lambda version=version: hand.replace(generations[version], generations[BASE])))  # type: ignore[misc]
            taken.add(f"`pulumi up`, {what}", spread(mine[version]))
            taken.add(f"by hand, {what}", spread(took))
            taken.ratio(f"ratio, {what}", statistics.median(mine[version]), statistics.median(took), 1.5)
    finally:
        hand.remove()
    return taken


class ByHand:
    """What somebody at a terminal does, without pauses to think."""

    def __init__(self) -> None:
        self._client: Any = docker.DockerClient.from_env(timeout=60)
        self.remove()
        self._network = self._client.networks.create(NAME, driver="overlay", labels=LABELS, attachable=True).id
        self._host = self._client.networks.list(names=["host"])[0].id
        self._secrets = {
            name: self._client.secrets.create(name=f"{NAME}-{name}", data=value.encode(), labels=LABELS).id
            for name, value in SECRETS.items()
        }

    def replace(self, old: list[Captured], new: list[Captured]) -> None:
        """Replace one generation of the product by another; what both have stays."""
        before = {each.spec["Name"] for each in old}
        after = {each.spec["Name"] for each in new}
        fresh = [each for each in new if each.spec["Name"] not in before]
        for group in (lambda e: not e.front and not e.gate, lambda e: e.front, lambda e: e.gate):
            made = [self._create(each) for each in fresh if group(each)]
            wait_until("healthy by hand", lambda made=made: all(map(self._healthy, made)), 180, 0.1)
        gone = [each for each in reversed(old) if each.spec["Name"] not in after]
        for each in gone:
            self._client.api.remove_service(self._name(each))
            label = f"com.docker.swarm.service.name={self._name(each)}"
            if each.gate or each.front:  # callers must have left before what is behind it goes
                self._wait_gone([label])
        self._wait_gone([f"com.docker.swarm.service.name={self._name(each)}" for each in gone])
        assert Door(f"http://127.0.0.1:{PORT}").get("/health").status == 200

    def _wait_gone(self, labels: list[str]) -> None:
        def gone() -> bool:
            return not any(self._client.api.containers(filters={"label": label}) for label in labels)

        wait_until("containers ended by hand", gone, 120, 0.1)

    def _name(self, each: Captured) -> str:
        return f"{NAME}-{each.spec['Name'].split('-', 2)[2]}"

    def _create(self, each: Captured) -> str:
        spec = _copy(each.spec)
        container = spec["TaskTemplate"]["ContainerSpec"]
        container["Configs"] = [self._config(path, text, spec["Name"]) for path, text in each.files.items()]
        for secret in container.get("Secrets") or []:
            name = secret["File"]["Name"].rpartition("/")[2]
            secret |= {"SecretID": self._secrets[name], "SecretName": f"{NAME}-{name}"}
        for mount in container.get("Mounts") or []:
            mount["Source"] = f"{NAME}-{each.runtime}-data"
            mount["VolumeOptions"] = {"Labels": LABELS}
        for network in spec["TaskTemplate"]["Networks"]:
            network["Target"] = self._host if each.gate else self._network
        spec |= {"Name": self._name(each), "Labels": LABELS}
        api = self._client.api
        created: str = api._result(api._post_json(api._url("/services/create"), data=spec), json=True)["ID"]  # noqa: SLF001
        return created

    def _config(self, path: str, text: str, owner: str) -> dict[str, Any]:
        if path.endswith("gate.properties"):
            lines = dict(line.split("=", 1) for line in text.splitlines())
            lines |= {"GATE_PORT": str(PORT), "GATE_TABLE": lines["GATE_TABLE"].replace("b_env", "b_hand")}
            text = "".join(f"{key}={value}\n" for key, value in lines.items())
        name = f"{NAME}-{owner[-24:]}-{path.rpartition('/')[2].partition('.')[0]}"
        held = self._client.configs.list(filters={"name": name})
        config = held[0].id if held else self._client.configs.create(name=name, data=text.encode(), labels=LABELS).id
        file = {"Name": path, "UID": "0", "GID": "0", "Mode": 0o444}
        return {"ConfigID": config, "ConfigName": name, "File": file}

    def _healthy(self, service: str) -> bool:
        tasks = self._client.api.tasks(filters={"service": service, "desired-state": "running"})
        mode = self._client.api.inspect_service(service)["Spec"]["Mode"]
        wanted = mode["Replicated"]["Replicas"] if "Replicated" in mode else 1
        return bool(sum(task["Status"]["State"] == "running" for task in tasks) >= wanted)

    def remove(self) -> None:
        """Remove everything of it."""
        from bench.lab.workspace import remove_objects

        remove_objects(NAME)
        time.sleep(1)


def _copy(spec: dict[str, Any]) -> dict[str, Any]:
    import json

    copied: dict[str, Any] = json.loads(json.dumps(spec))
    return copied
