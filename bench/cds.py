"""Time to ready of a JVM runtime with the image's class-data archive, with the JDK's own, and with none."""

from __future__ import annotations

import re
import statistics
from datetime import datetime
from pathlib import Path
from typing import Any

import docker

from bench.captured import Captured, capture
from bench.lab.swarm import Swarm
from bench.lab.workspace import SECRETS, Stack, wait_until
from bench.laboratory import Laboratory
from bench.results import Measurement, say, spread

RUNTIME = "intake"
OPTIONS = "/opt/stele/config/jvm.options"  # layer 4: the last options on the JVM's command line


def measure(lab: Laboratory) -> Measurement:
    """Start the same image with each archive in turn, in the environment's network, with the broker there."""
    taken = Measurement(
        "cds",
        "Class-data sharing",
        f"The image of `{RUNTIME}` is started in the environment's network with other last JVM options, in turn. From "
        "the container's start to the log line with which the runtime says that it is ready.",
    )
    stack = lab.environment()
    service = next(each for each in capture(stack) if each.runtime == RUNTIME)
    with Swarm(stack.name) as swarm:
        java = swarm.containers(RUNTIME)[0].exec_run(["bash", "-c", "readlink -f $(command -v java)"]).output.decode()
        default = f"{Path(java.strip()).parent.parent}/lib/server/classes.jsa"
        kinds = {
            "image's archive": "",
            "JDK's archive": f"-XX:SharedArchiveFile={default}",
            "no archive": "-Xshare:off",
        }
        took: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(2 if lab.short else 7):
            for kind, option in kinds.items():
                took[kind].append(_start(swarm.client, lab.root, stack, service, option))
            say("cds", f"round {number + 1}: " + ", ".join(f"{kind} {times[-1]:.2f} s" for kind, times in took.items()))
    for kind, times in took.items():
        taken.add(f"time to ready, {kind}", spread(times))
    middle = {kind: statistics.median(times) for kind, times in took.items()}
    taken.ratio("image's archive / no archive", middle["image's archive"], middle["no archive"], 0.5)
    taken.add("image's archive / JDK's archive", format(middle["image's archive"] / middle["JDK's archive"], ".3g"))
    return taken


def _start(client: Any, root: Path, stack: Stack, service: Captured, option: str) -> float:
    """Seconds from the start of a container to its readiness."""
    folder = root / "cds"
    folder.mkdir(exist_ok=True)
    mounts = {OPTIONS: option + "\n"} | service.files | {f"/run/secrets/{key}": text for key, text in SECRETS.items()}
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
