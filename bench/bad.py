"""Bad releases under load: an image that crashes, hangs, is too slow, or is never ready."""

from __future__ import annotations

from bench.lab import edits
from bench.laboratory import BASE, Laboratory, swarm_of, timed
from bench.results import Measurement, say

WINDOW = 25  # seconds
NEEDLESS = "tasks replaced or restarted by the same again"


def measure(lab: Laboratory) -> Measurement:
    """Four kinds of bad release; each is tried, refused and taken back."""
    taken = Measurement(
        "bad",
        "Bad releases under load",
        f"Each release is good but for one runtime. A new generation has {WINDOW} s to become healthy. "
        "Replaced or restarted: by container ids and start times of the tasks that served before, when `up` said no "
        "and again when the release was taken back.",
    )
    stack = lab.environment()
    stack.up(window=WINDOW)
    versions = publish(lab)
    heads = ["bad release", "`up` said no after", "requests", "failed", NEEDLESS, "of all tasks, then and back"]
    taken.table = [[*heads, "going back"]]
    failed = restarted = 0
    for bad in edits.BAD:
        say("bad", f"{bad.name}: {bad.runtime}")
        with swarm_of(stack) as swarm:
            before = swarm.running()
            with lab.load(f"bad-{bad.name}") as load:
                stack.configure(version=versions[bad.name])
                refused = timed(lambda: _refuse(lab))
                then = before - swarm.running()
                there = swarm.services()
                needless = {task for task in then if task.service in there}
                stack.configure(version=BASE)
                back = timed(stack.up)
            lost = before - swarm.running()
        report = load.report
        failed += report["failed"] + report["acknowledged_unreadable"]
        restarted += len(then | lost)
        row = [
            f"{bad.name} ({bad.runtime})",
            f"{refused:.0f} s",
            report["requests"],
            report["failed"],
            len(needless),
            f"{len(then)}, {len(lost)}",
            f"{back:.0f} s",
        ]
        taken.table.append([str(cell) for cell in row])
    taken.add("failed requests", failed, "0", kept=failed == 0)
    taken.add("healthy tasks restarted", restarted, "0", kept=restarted == 0)
    return taken


def publish(lab: Laboratory) -> dict[str, str]:
    """Publish the four bad releases; their versions by name."""
    versions = {bad.name: f"910.9.{number}" for number, bad in enumerate(edits.BAD)}
    for bad in edits.BAD:
        if not (lab.workspace.releases / "orders" / f"{versions[bad.name]}.json").exists():
            lab.release(versions[bad.name], lambda bad=bad: bad.edit(lab.workspace))  # type: ignore[misc]
    return versions


def _refuse(lab: Laboratory) -> None:
    stack = lab.environment_stack()
    if stack.up(check=False).returncode == 0:
        raise AssertionError("a bad release was taken for a good one")
