"""How much memory the whole dev stack takes."""

from __future__ import annotations

import json
from pathlib import Path

from bench.lab.ground import CHECKOUT
from bench.laboratory import Laboratory
from bench.results import Measurement


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
    total = sum(sizes.values())
    taken.table = [
        ["process", "MiB"],
        *([name, f"{size:.0f}"] for name, size in sorted(sizes.items(), key=lambda i: -i[1])),
    ]
    taken.add("all together", f"{total / 1024:.2f} GiB", "<= 4 GiB", kept=total <= 4096)
    return taken


def by_process(stack: str) -> dict[str, float]:
    """MiB by part of the platform, and by runtime for what is in containers of one stack."""
    parts = {str(path) for path in (CHECKOUT / ".stele" / "platform").glob("*") if path.is_file()}
    roots = {}
    for process in Path("/proc").glob("[0-9]*"):
        words = _words(process)
        if any(word in parts for word in words) or ("supervise" in words and str(CHECKOUT) in words):
            roots[int(process.name)] = Path(words[0]).name if "supervise" not in words else "supervisor"
    sizes: dict[str, float] = {}
    for process in Path("/proc").glob("[0-9]*"):
        name = _owner(int(process.name), roots, stack)
        if name:
            sizes[name] = sizes.get(name, 0) + _pss(process)
    return sizes


def _words(process: Path) -> list[str]:
    try:
        return process.joinpath("cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _owner(pid: int, roots: dict[int, str], stack: str) -> str | None:
    """The part of the platform that a process belongs to: its own, its shim's, or that of an ancestor."""
    container = _container(pid)
    if container:
        return _runtime(container, stack)
    words = _words(Path(f"/proc/{pid}"))
    if words and "containerd-shim" in words[0]:
        return "shims of the containers"
    while pid > 1:
        if pid in roots:
            return roots[pid]
        pid = _parent(pid)
    return None


def _container(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return None
    name = text.strip().rpartition("/")[2].removeprefix("docker-").removesuffix(".scope")
    return name if len(name) == 64 else None


_runtimes: dict[str, str | None] = {}


def _runtime(container: str, stack: str) -> str | None:
    if container not in _runtimes:
        folder = next(
            (CHECKOUT / ".stele" / "data" / "engine" / "containers").glob(f"{container}/config.v2.json"), None
        )
        labels = json.loads(folder.read_text())["Config"]["Labels"] if folder else {}
        service = labels.get("com.docker.swarm.service.name", "")
        mine = service.startswith(f"{stack}-")
        _runtimes[container] = service.removeprefix(f"{stack}-").rpartition("-")[0] if mine else None
    return _runtimes[container]


def _pss(process: Path) -> float:
    try:
        lines = process.joinpath("smaps_rollup").read_text().splitlines()
    except OSError:  # ended meanwhile, or a thread of the kernel
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
