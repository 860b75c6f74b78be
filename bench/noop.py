"""An `up` that changes nothing, against an `up` of an empty program."""

from __future__ import annotations

import statistics
import time

from bench.lab.ground import CHECKOUT
from bench.laboratory import Laboratory, timed
from bench.results import Measurement, say, spread

SETTLING = 30  # seconds


def measure(lab: Laboratory) -> Measurement:
    """Both in turn, with the same CLI, language host and kind of backend."""
    taken = Measurement(
        "noop",
        "An `up` that changes nothing",
        "`pulumi up --yes --skip-preview` of the whole environment with nothing changed, and of a program of one line, "
        f"in turn, with the same CLI, language host and backend, once the environment had {SETTLING} s to settle. "
        "Python keeps what it compiled, as it does unless told otherwise.",
    )
    stack = lab.environment()
    workspace = lab.workspace
    empty = workspace.root / "empty"
    empty.mkdir(exist_ok=True)
    (empty / "Pulumi.yaml").write_text((CHECKOUT / "Pulumi.yaml").read_text().replace("name: stele", "name: empty"))
    (empty / "__main__.py").write_text("import pulumi\n")
    there = ("--cwd", str(empty), "-s", "b-empty")
    workspace.pulumi("stack", "init", "b-empty", "--cwd", str(empty))
    say("noop", f"{SETTLING} s for the environment to settle: Java compiles what it just started")
    time.sleep(SETTLING)
    mine, other = [], []
    for _ in range(3 if lab.short else 7):
        mine.append(timed(lambda: stack.up("--expect-no-changes")))
        other.append(timed(lambda: workspace.pulumi("up", "--yes", "--skip-preview", *there)))
    workspace.pulumi("stack", "rm", "--yes", *there)
    taken.add("`up` of the environment", spread(mine))
    taken.add("`up` of the empty program", spread(other))
    taken.ratio("ratio of the medians", statistics.median(mine), statistics.median(other), 1.5)
    return taken
