"""How much memory the whole dev stack takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import docker

from bench.lab import ground
from bench.lab.ground import CHECKOUT
from bench.lab.workspace import Stack
from bench.laboratory import Laboratory
from bench.results import Measurement

SHIMS, ENGINE, BUILDKIT = "shims of the containers", "engine", "buildkit"


def measure(lab: Laboratory) -> Measurement:
    """Proportional set size of every process of the platform and the environment."""
    taken = Measurement(
        "memory",
        "Memory of the whole dev stack",
        "Proportional set size (PSS) of every process: engine, containerd, its shims, registry, BuildKit, the "
        "supervisor, and every container of one environment at size S, with load on it. Page cache is not counted: the "
        "kernel takes it back when somebody needs it.",
    )
    stack = lab.environment()
    with lab.load("memory") as load:
        while load.so_far() < 2000:
            load.wait(1)
        sizes = by_process(stack.name)
    require_all(sizes, stack)
    total = sum(sizes.values())
    taken.table = [
        ["process", "MiB"],
        *([name, f"{size:.0f}"] for name, size in sorted(sizes.items(), key=lambda i: -i[1])),
    ]
    taken.add("all together", f"{total / 1024:.2f} GiB", "<= 4 GiB", kept=total <= 4096)
    return taken


def require_all(sizes: dict[str, float], stack: Stack) -> None:
    """Raise AssertionError naming the part that was not found: a sum without it means nothing."""
    wanted = {ENGINE, "registry", BUILDKIT, SHIMS, *stack.outputs()["services"], "edge-gate"}
    if missing := sorted(name for name in wanted if not sizes.get(name)):
        raise AssertionError(f"no memory was found of: {', '.join(missing)}; found: {', '.join(sorted(sizes))}")


def by_process(stack: str) -> dict[str, float]:
    """MiB by part of the platform, and by runtime for what is in containers of one stack.

    Raises PermissionError when a process of theirs belongs to another user: run as root then.
    """
    owners = Owners(stack)
    sizes: dict[str, float] = {}
    for process in Path("/proc").glob("[0-9]*"):
        if name := owners.of(process):
            sizes[name] = sizes.get(name, 0) + _pss(process, name)
    return sizes


class Owners:
    """Whose each process is: a part of the platform's, a runtime's of one stack, or nobody's here.

    An engine that is not the platform's own counts whole, for whomever it works besides.
    """

    def __init__(self, stack: str) -> None:
        parts = json.loads((CHECKOUT / ".stele" / "platform" / "parts.json").read_text())["parts"]
        self._commands = {tuple(part["argv"]): str(part["name"]) for part in parts}
        self._containers = _containers(stack)
        self._roots = {int(each.name): name for each in Path("/proc").glob("[0-9]*") if (name := self._part(each))}

    def of(self, process: Path) -> str | None:
        """The name of what a process belongs to, by its container, its shim's container, or its ancestors."""
        if container := _container(process):
            return self._containers.get(container)
        words = _words(process)
        if words[0].rpartition("/")[2].startswith("containerd-shim"):
            return SHIMS if self._containers.keys() & set(words) else None
        pid = int(process.name)
        while pid > 1 and pid not in self._roots:
            pid = _parent(pid)
        return self._roots.get(pid)

    def _part(self, process: Path) -> str | None:
        words = _words(process)
        if "supervise" in words and str(CHECKOUT) in words:
            return "supervisor"
        if ENGINE not in self._commands.values() and Path(words[0]).name in ("dockerd", "containerd"):
            return ENGINE
        return self._commands.get(tuple(words))


def _containers(stack: str) -> dict[str, str]:
    """The runtime of each container of a stack by the container's id, and BuildKit's, which may be in one."""
    client = docker.DockerClient.from_env(timeout=60)
    try:
        containers = client.api.containers()
    finally:
        client.close()
    found = {}
    for each in containers:
        service = (each["Labels"] or {}).get("com.docker.swarm.service.name", "")
        if service.startswith(f"{stack}-"):
            found[each["Id"]] = service.removeprefix(f"{stack}-").rpartition("-")[0]
        elif each["Names"] == [f"/stele-{ground.environment()['STELE_CHECKOUT_ID']}-buildkit"]:
            found[each["Id"]] = BUILDKIT
    return found


def _words(process: Path) -> list[str]:
    """The command line; one empty word when there is none."""
    try:
        return process.joinpath("cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return [""]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _container(process: Path) -> str | None:
    """The id of the container that a process is in, from its control group."""
    try:
        found = re.search(r"\b[0-9a-f]{64}\b", process.joinpath("cgroup").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return found.group() if found else None


def _pss(process: Path, name: str) -> float:
    """MiB of one process; none when it has ended meanwhile."""
    try:
        lines = process.joinpath("smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except PermissionError as error:
        raise PermissionError(
            f"the memory of process {process.name} ({name}) is hidden from you: run as root"
        ) from error
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
