"""Upgrades and reverts under load: callers must not notice any, the edge's and the database's own included."""

from __future__ import annotations

import time

from bench.lab.loading import Load
from bench.laboratory import BASE, FLOW, TEMPLATE, Laboratory, timed
from bench.registry import Pushes
from bench.results import Measurement, say, spread

ROUNDS, REQUESTS = 20, 100_000


def measure(lab: Laboratory) -> Measurement:
    """Twenty upgrades, every second one of the whole template, each followed by its revert."""
    taken = Measurement(
        "upgrades",
        "Upgrades and reverts under load",
        "Each upgrade is a changed `version:` and `pulumi up`, each revert the same back. Every second upgrade has a "
        "new template version, so that every image changes: broker, database and the edge included. The load uses "
        f"keep-alive connections at {lab.rate:g} requests a second, new order ids throughout, retries nothing, and "
        "at the end reads every acknowledged order back and counts what is stored. Requests are due at fixed "
        "times, and latencies count from then: a stall is seen by everybody who would have come meanwhile.",
    )
    stack = lab.environment()
    first = stack.outputs()
    rounds, wanted = (2, 1000) if lab.short else (ROUNDS, REQUESTS)
    took: dict[str, list[float]] = {FLOW: [], TEMPLATE: [], "revert": []}
    differing = 0
    pushes = Pushes()
    with lab.load("upgrades") as load:
        began = time.monotonic()
        for number in range(rounds):
            version = (FLOW, TEMPLATE)[number % 2]
            took[version].append(timed(lambda version=version: stack.up(version=version)))  # type: ignore[misc]
            took["revert"].append(timed(lambda: stack.up(version=BASE)))
            again = stack.outputs()
            differing += any(again[key] != first[key] for key in ("runtimes", "configuration", "services", "url"))
            say("upgrades", f"{number + 1}/{rounds}: {took[version][-1]:.1f} s up, {took['revert'][-1]:.1f} s back")
        _wait_for(load, wanted, lab.rate)
        lasted = time.monotonic() - began
    _figures(taken, load, took, lasted, wanted, rounds)
    taken.add("reverts that brought back other digests, configurations or services", differing, "0", kept=not differing)
    taken.add("manifests pushed meanwhile (images built)", pushes.count(), "0", kept=pushes.count() == 0)
    return taken


def _wait_for(load: Load, wanted: int, rate: float) -> None:
    while load.so_far() < wanted:
        say("upgrades", f"{load.so_far()} requests so far, {wanted} wanted")
        time.sleep(min(30, max(1, (wanted - load.so_far()) / rate)))


def _figures(
    taken: Measurement, load: Load, took: dict[str, list[float]], lasted: float, wanted: int, rounds: int
) -> None:
    report = load.report
    taken.add("upgrades and reverts", f"{rounds} + {rounds}", "20 + 20" if rounds == ROUNDS else "")
    taken.add("requests", f"{report['requests']} in {lasted:.0f} s", f">= {wanted}", kept=report["requests"] >= wanted)
    taken.add("failed requests", report["failed"], "0", kept=report["failed"] == 0)
    unread = report["acknowledged_unreadable"]
    taken.add(f"acknowledged orders not readable, of {report['acknowledged']}", unread, "0", kept=unread == 0)
    stored = report["stored"]
    counted = bool(stored) and stored["least"] <= stored["after"] <= stored["most"]
    taken.add("orders stored meanwhile, and how many it may be", _stored(stored), "each once", kept=counted)
    taken.add("latency p50, p99, p99.9, max in ms", ", ".join(str(value) for value in report["latency_ms"].values()))
    for what, key in (("one flow and the edge", FLOW), ("everything", TEMPLATE), ("revert", "revert")):
        taken.add(f"time of `pulumi up`: {what}", spread(took[key]))
    if report["failed"]:
        taken.table = [["reason of failure", "times"], *([str(r), str(n)] for r, n in report["reasons"].items())]


def _stored(stored: dict[str, int]) -> str:
    if not stored:
        return "could not be counted"
    most, least = stored["most"] - stored["before"], stored["least"] - stored["before"]
    return f"{stored['after'] - stored['before']}, {least} to {most}"
