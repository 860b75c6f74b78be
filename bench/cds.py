"""Time to ready of the JVM runtimes with the class-data archive that is baked into their image, and with none."""

from __future__ import annotations

import re
import statistics
from datetime import datetime
from pathlib import Path
from typing import Any

import docker

from bench.captured import Captured, capture
from bench.lab.ground import LabError, tail
from bench.lab.swarm import Swarm
from bench.lab.workspace import SECRETS, Stack, wait_until
from bench.laboratory import Laboratory
from bench.results import Measurement, say, spread

RUNTIMES = ("intake", "ledger")
OPTIONS = "/opt/stele/config/jvm.options"  # layer 4: the last options on the JVM's command line
KINDS = {"with": "", "without": "-Xshare:off"}


def measure(lab: Laboratory) -> Measurement:
    """Start the same image with and without its archive in turn, in the environment's network, with what it needs."""
    taken = Measurement(
        "cds",
        "Class-data sharing",
        "Each image is started in the environment's network, where all that it needs runs, with its archive and with "
        "`-Xshare:off`, in turn. From the container's start to the log line with which it says that it is ready.",
    )
    stack = lab.environment()
    services = {each.runtime: each for each in capture(stack)}
    with Swarm(stack.name) as swarm:
        for runtime in RUNTIMES:
            took: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for number in range(2 if lab.short else 9):
                for kind, option in KINDS.items():
                    took[kind].append(_start(swarm.client, lab.root, stack, services[runtime], option))
                told = ", ".join(f"{kind} {times[-1]:.2f} s" for kind, times in took.items())
                say("cds", f"{runtime}, round {number + 1}: {told}")
            for kind, times in took.items():
                taken.add(f"time to ready, {runtime} {kind}", spread(times))
            middle = {kind: statistics.median(times) for kind, times in took.items()}
            taken.ratio(f"{runtime}, with / without", middle["with"], middle["without"], 0.5)
    return taken


def _start(client: Any, root: Path, stack: Stack, service: Captured, option: str) -> float:
    """Seconds from the start of a container to its readiness."""
    folder = root / "cds"
    folder.mkdir(exist_ok=True)
    # Its own secrets only: a runtime of this family takes whose password it holds for what it depends on.
    secrets = {each["File"]["Name"] for each in service.container.get("Secrets") or []}
    held = {path: text for key, text in SECRETS.items() if (path := f"/run/secrets/{key}") in secrets}
    mounts = {OPTIONS: option + "\n"} | service.files | held
    binds = []
    for number, (path, text) in enumerate(mounts.items()):
        file = folder / str(number)
        file.write_text(text)
        file.chmod(0o644)
        binds.append(docker.types.Mount(path, str(file), type="bind", read_only=True))
    limits = service.spec["TaskTemplate"]["Resources"]["Limits"]
    container = client.containers.run(
        service.container["Image"],
        detach=True,
        user=service.container["User"],
        network=stack.name,
        mounts=binds,
        mem_limit=limits["MemoryBytes"],
        nano_cpus=limits["NanoCPUs"],
    )
    try:
        return float(wait_until("ready", lambda: _ready(container), 120, 0.05))
    except LabError as error:
        raise LabError(f"{service.runtime}: {error}; it said last:\n{tail(container.logs().decode(), 10)}") from error
    finally:
        container.remove(force=True)


def _ready(container: Any) -> float | None:
    container.reload()
    if container.status == "exited":
        raise AssertionError(container.logs().decode())
    found = re.search(r"^(\S+) .*\bready \d+ ms after", container.logs(timestamps=True).decode(), re.MULTILINE)
    return (_time(found.group(1)) - _time(container.attrs["State"]["StartedAt"])) if found else None


def _time(text: str) -> float:
    """Seconds, from the engine's timestamps of nine decimals."""
    return datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*Z", r"\1+00:00", text)).timestamp()
