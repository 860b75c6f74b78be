"""bench/results.md, made of the last run of each measurement; it says of which run each section is."""

from __future__ import annotations

import json
from typing import Any

from bench.lab.ground import CHECKOUT
from bench.results import STORE

REPORT = CHECKOUT / "bench" / "results.md"


def write_report(names: list[str]) -> None:
    """Write the report, with a section for each of ``names``, also for those that were not measured."""
    kept = {name: json.loads(path.read_text()) for name in names if (path := STORE / f"{name}.json").exists()}
    parts = ["# Measurements", "", "Made by `make bench`. Ratios are within one run of one machine.", ""]
    parts += _origin([content["run"] for content in kept.values()])
    for name in names:
        parts += _section(name, kept[name]) if name in kept else [f"## {name}", "", "not measured", ""]
    REPORT.write_text("\n".join(parts).rstrip() + "\n")


def _origin(runs: list[dict[str, Any]]) -> list[str]:
    """One line about each run, the latest last; a warning when there are several."""
    distinct = sorted({run["id"]: run for run in runs}.values(), key=lambda run: str(run["began"]))
    lines = []
    if len(distinct) > 1:
        lines += [f"**Made of {len(distinct)} runs**: figures of different sections do not compare.", ""]
    for run in distinct:
        lines.append(
            f"- Run {run['id']}: {_extent(run)}, {run['rate']:g} requests a second, {run['began']}, commit "
            f"{run['commit']}; {run['machine']}"
        )
    return [*lines, ""]


def _extent(run: dict[str, Any]) -> str:
    return "**shortened**" if run["short"] else "in full"


def _section(name: str, content: dict[str, Any]) -> list[str]:
    run = content["run"]
    origin = f"Run {run['id']}, {_extent(run)}, commit {run['commit']}."
    if error := content.get("error"):
        return [f"## {name}", "", f"**not measured**: {error}", "", origin, ""]
    taken = content["measurement"]
    lines = [f"## {taken['title']}", "", taken["how"], ""]
    lines += ["| figure | measured | promised |", "|---|---|---|"]
    for figure in taken["figures"]:
        mark = {None: "", True: " (kept)", False: " (**not kept**)"}[figure["kept"]]
        lines.append(f"| {figure['what']} | {figure['value']} | {figure['promised']}{mark} |")
    if table := taken["table"]:
        lines += ["", f"| {' | '.join(table[0])} |", f"|{'---|' * len(table[0])}"]
        lines += [f"| {' | '.join(row)} |" for row in table[1:]]
    return [*lines, "", origin, ""]
