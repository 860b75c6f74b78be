"""What a measurement found, and how it is written down."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.lab import ground
from bench.lab.ground import CHECKOUT

STORE = CHECKOUT / ".stele" / "bench"
REPORT = CHECKOUT / "bench" / "results.md"


@dataclass
class Figure:
    """One figure: what it is, its value as text, what is promised, whether that holds (None: nothing is promised)."""

    what: str
    value: str
    promised: str = ""
    kept: bool | None = None


@dataclass
class Measurement:
    """One measurement: its figures, and how they came about in a few sentences."""

    name: str
    title: str
    how: str
    figures: list[Figure] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    taken: str = ""
    short: bool = False

    def add(self, what: str, value: object, promised: str = "", *, kept: bool | None = None) -> None:
        """Add a figure and print it."""
        figure = Figure(what, str(value), promised, kept)
        self.figures.append(figure)
        verdict = {None: "", True: " - kept", False: " - NOT KEPT"}[kept]
        print(f"[{self.name}] {what}: {value}" + (f" (promised {promised}{verdict})" if promised else ""), flush=True)

    def ratio(self, what: str, mine: float, other: float, limit: float) -> None:
        """Add a ratio that must stay at or below ``limit``."""
        self.add(what, f"{mine / other:.3g}", f"<= {limit:g}", kept=mine <= other * limit)

    @property
    def kept(self) -> bool:
        """Whether everything promised holds."""
        return all(figure.kept is not False for figure in self.figures)

    def save(self) -> None:
        """Keep it for the report, which is made of the last run of each measurement."""
        self.taken = datetime.now(UTC).isoformat(timespec="minutes")
        STORE.mkdir(parents=True, exist_ok=True)
        (STORE / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1))


def say(name: str, text: str) -> None:
    """Progress of a measurement."""
    print(f"[{name}] {datetime.now(UTC):%H:%M:%S} {text}", flush=True)


def spread(values: list[float]) -> str:
    """Median and range in seconds."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f}, n={len(values)})"


def write_report(names: list[str]) -> None:
    """Write results.md from the stored measurements, in the given order."""
    parts = ["# Measurements", "", "Made by `make bench`; ratios are within one run of one machine.", "", machine(), ""]
    for name in names:
        path = STORE / f"{name}.json"
        if path.exists():
            parts += _section(json.loads(path.read_text()))
    REPORT.write_text("\n".join(parts).rstrip() + "\n")


def _section(taken: dict[str, object]) -> list[str]:
    short = ", shortened" if taken["short"] else ""
    lines = [f"## {taken['title']}", "", str(taken["how"]), ""]
    lines += ["| figure | measured | promised |", "|---|---|---|"]
    for figure in taken["figures"]:  # type: ignore[attr-defined]
        mark = {None: "", True: " (kept)", False: " (**not kept**)"}[figure["kept"]]
        lines.append(f"| {figure['what']} | {figure['value']} | {figure['promised']}{mark} |")
    table: list[list[str]] = taken["table"]  # type: ignore[assignment]
    if table:
        lines += ["", f"| {' | '.join(table[0])} |", f"|{'---|' * len(table[0])}"]
        lines += [f"| {' | '.join(row)} |" for row in table[1:]]
    return [*lines, "", f"Taken {taken['taken']}{short}.", ""]


def machine() -> str:
    """One line about the machine: what the figures depend on, nothing that names it."""
    text = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]) / 2**20
    engine = ground.run("docker", "version", "--format", "{{.Server.Version}}", env=ground.environment()).stdout.strip()
    pulumi = ground.run("pulumi", "version", env=ground.environment()).stdout.strip()
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return (
        f"Machine: {os.cpu_count()} processors ({models[0] if models else platform.machine()}), {memory:.0f} GiB "
        f"memory, {system}, Linux {platform.release()}, Docker engine {engine}, Pulumi {pulumi}."
    )
