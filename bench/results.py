"""What a measurement found, and how it is kept for the report."""

from __future__ import annotations

import json
import os
import platform
import secrets
import statistics
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.lab import ground
from bench.lab.ground import CHECKOUT

STORE = CHECKOUT / ".stele" / "bench"


@dataclass(frozen=True)
class Run:
    """One call of `bench.run`: what its figures depend on. ``commit`` says so when files differed from it."""

    id: str
    began: str
    commit: str
    machine: str
    short: bool
    rate: float  # requests a second

    @classmethod
    def begin(cls, *, short: bool, rate: float) -> Run:
        """The run that begins now."""
        began = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(secrets.token_hex(3), began, commit(), machine(), short, rate)


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

    def save(self, run: Run) -> None:
        """Keep it for the report."""
        _write(self.name, {"run": asdict(run), "measurement": asdict(self)})


def discard(name: str) -> None:
    """Forget what was measured before: a measurement that fails must not leave older figures standing."""
    (STORE / f"{name}.json").unlink(missing_ok=True)


def save_failure(name: str, run: Run, error: Exception) -> None:
    """Keep for the report that a measurement failed, and why in one line."""
    lines = str(error).strip().splitlines() or [""]
    _write(name, {"run": asdict(run), "error": f"{type(error).__name__}: {lines[0]}"})


def _write(name: str, content: dict[str, object]) -> None:
    STORE.mkdir(parents=True, exist_ok=True)
    (STORE / f"{name}.json").write_text(json.dumps(content, indent=1))


def say(name: str, text: str) -> None:
    """Progress of a measurement."""
    print(f"[{name}] {datetime.now(UTC):%H:%M:%S} {text}", flush=True)


def spread(values: list[float], unit: str = " s") -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f}{unit} ({min(values):.2f} to {max(values):.2f}, n={len(values)})"


def commit() -> str:
    """The commit that is checked out, and whether files differ from it (the report itself does not count)."""
    told = ground.run("git", "rev-parse", "--short=10", "HEAD", check=False)
    if told.returncode:
        return "no commit"
    changed = ground.run("git", "status", "--porcelain", "--", ".", ":!bench/results.md").stdout
    return told.stdout.strip() + (" with uncommitted changes" if changed else "")


def machine() -> str:
    """One line about the machine: what the figures depend on, nothing that names it."""
    text = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]) / 2**20
    engine = ground.run("docker", "version", "--format", "{{.Server.Version}}", env=ground.environment()).stdout.strip()
    pulumi = ground.run("pulumi", "version", env=ground.environment()).stdout.strip()
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return (
        f"{os.cpu_count()} processors ({models[0] if models else platform.machine()}), {memory:.0f} GiB "
        f"memory, {system}, Linux {platform.release()}, Docker engine {engine}, Pulumi {pulumi}"
    )
