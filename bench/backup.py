"""Backup and restore of one environment: what a night stores, how fast it comes back, and what its callers notice."""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import docker

from bench.lab.workspace import BACKUP_SECRETS, Stack
from bench.laboratory import BASE, Laboratory
from bench.results import Measurement, say, spread

PORT = 18280
# At all of it, two processors are so busy that the p99 of one window is three times another's, whatever a night does.
PART = 0.5  # of the rate
WARM, SETTLE, WINDOW = 60, 2, 20  # seconds of load: before anything is measured, after a change, and measured
ROWS, CHANGED = 2_000_000, 400_000  # orders before the first night, and added before the second
FEW = 100_000  # while latencies are measured: a paced night of many takes most of an hour
FILL = """
insert into orders (id, item, quantity)
select 'bench-{tag}-' || g || '-' || md5(random()::text), md5(random()::text), 1 + g % 9
from generate_series(1, {rows}) g
"""
NIGHT = "echo $$ > /data/bench.night && exec /opt/stele/backup night"
# All of a night, its pacing first: nothing lets the rest go on then.
SIGNAL = """
import os, signal, sys
sys.path.insert(0, "/opt/stele/lib")
from pathlib import Path
from runner import pacing
night = int(Path("/data/bench.night").read_text())
os.kill(night, signal.Signals[sys.argv[1]])
if sys.argv[1] == "SIGSTOP":
    pacing._stop(night)
"""
# In the runner's container, with its own code and keys: the same bytes by its restore and by a plain copy.
RESTORE = """
import json, shutil, subprocess, sys, time
sys.path.insert(0, "/opt/stele/lib")
from runner import settings as configured
from runner.files import empty
from runner.repository import Backups
from runner.settings import DATA
from runner.store import Store
from runner.verify import checked
settings = configured.load()
store = Store(settings.storage)
backups = Backups(store, settings.stack)
record = backups.choose(sys.argv[1])
scratch = DATA / "bench"
took = {"restore": [], "copy": []}
def restore():
    backups.fetch(record, scratch / "repository")
    backups.unpack(record, scratch / "repository", scratch / "tree")
    checked(scratch / "tree", record)
def copy():
    store._call("copy", "--transfers=8", store.url("bench/plain"), scratch / "plain")
empty(scratch)
restore()
store._call("copy", scratch / "tree", store.url("bench/plain"))
for _ in range(int(sys.argv[2])):
    for name, act in (("restore", restore), ("copy", copy)):
        empty(scratch)
        subprocess.run(["sync"])
        began = time.monotonic()
        act()
        took[name].append(time.monotonic() - began)
shutil.rmtree(scratch)
print(json.dumps(took | {"bytes": record["bytes"], "stored": sum(record["objects"].values())}))
"""


def measure(lab: Laboratory) -> Measurement:
    """One environment with storage of its own."""
    taken = Measurement(
        "backup",
        "Backup and restore",
        f"One environment with {ROWS:,} orders, of which {CHANGED:,} came between two nights; every value is random "
        "text. Restore: from the store to files on the disk, decrypted, every object and every file checked; plain "
        "copy: rclone, the same files as they are, from the same store, in turn. Latencies: before that, with "
        f"{FEW:,} orders, one load on one environment, half the rate; a night is stopped and let go on, in windows of "
        f"{WINDOW} s, in random order, and every request that was due in one kind of window counts for that kind.",
    )
    rounds = 3 if lab.short else 7
    stack = _environment(lab)
    client: Any = docker.from_env()
    runner, database = (_container(client, stack, name) for name in ("backup", "database"))
    _fill(database, "few", FEW)
    _backup(runner)
    _latencies(lab, taken, runner, 15 if lab.short else 30)
    _fill(database, "first", ROWS)
    first = _backup(runner)
    _fill(database, "second", CHANGED)
    second = _backup(runner)
    changed = second["bytes"] - first["bytes"]
    taken.add("bytes of the first night, stored", f"{first['bytes']:,}, {first['added']:,}")
    taken.add("bytes changed until the second night", f"{changed:,}")
    taken.ratio("stored in the second night / changed", second["added"], changed, 1.2)
    took = json.loads(_run(runner, "python3", "-c", RESTORE, second["name"], str(rounds)))
    rate = took["bytes"] / 1e6
    taken.add("restore, MB/s", spread([rate / each for each in took["restore"]], ""))
    taken.add("plain copy, MB/s", spread([rate / each for each in took["copy"]], ""))
    ratio = statistics.median(took["copy"]) / statistics.median(took["restore"])
    taken.add("restore throughput / plain copy", f"{ratio:.3g}", ">= 0.7", kept=ratio >= 0.7)
    return taken


def _environment(lab: Laboratory) -> Stack:
    lab.factory  # noqa: B018 - its release is what it deploys
    lab.take_down()
    say("backup", "bringing an environment with storage up")
    # A customer of its own each time: what earlier runs stored stays, and is nobody's business here.
    lab.workspace.storage("b-storage", customer=f"bench-{os.getpid()}", retention="1").up()
    stack = lab.workspace.environment(
        "b-backup", BACKUP_SECRETS, version=BASE, port=PORT, storage="b-storage", sizing="M"
    )
    stack.up()
    return stack


def _container(client: Any, stack: Stack, runtime: str) -> Any:
    service = stack.outputs()["services"][runtime]
    return client.containers.list(filters={"label": f"com.docker.swarm.service.name={service}"})[0]


def _run(container: Any, *command: str) -> str:
    status, said = container.exec_run(list(command))
    if status:
        raise RuntimeError(said.decode(errors="replace")[-2000:])
    return str(said.decode())


def _fill(database: Any, tag: str, rows: int) -> None:
    say("backup", f"{rows:,} orders")
    words = ["psql", "--no-psqlrc", "--quiet", "--host=/run/stele", "--username=stele", "--dbname=orders", "--command"]
    _run(database, *words, FILL.format(tag=tag, rows=rows))


def _backup(runner: Any, verb: str = "backup") -> dict[str, Any]:
    """``backup``: as fast as it can; ``night``: as it is at 02:00."""
    say("backup", f"a {verb}")
    return dict(json.loads(_run(runner, "/opt/stele/backup", verb).strip().splitlines()[-1]))


def _latencies(lab: Laboratory, taken: Measurement, runner: Any, pairs: int) -> None:
    """One load; a night that runs and is held in turn, in an order that nothing else on the machine can follow."""
    windows: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with _Night(runner) as night, lab.load("backup", PORT, part=PART) as load:
        night.hold()
        load.wait(WARM)
        for pair in range(pairs):
            say("backup", f"load {pair + 1} of {pairs}, with and without a night")
            for runs in random.sample((False, True), 2):
                (night.go if runs else night.hold)()
                load.wait(SETTLE)
                began = time.monotonic()
                load.wait(WINDOW)
                if night.is_there():
                    windows[runs].append((began, time.monotonic()))
    load.assert_spotless()
    latencies = load.latencies()
    each = {
        runs: [[latency for due, latency in latencies if began <= due < ended] for began, ended in spans]
        for runs, spans in windows.items()
    }
    for runs, name in ((False, "while a night is held"), (True, "while it runs")):
        taken.add(f"p99 {name}, ms: windows", spread([_p99(window) * 1000 for window in each[runs]], ""))
    mine, other = (_p99([latency for window in each[runs] for latency in window]) for runs in (True, False))
    taken.add("requests, p99 of all, ms, held and running", f"{len(latencies):,}, {other * 1e3:.1f}, {mine * 1e3:.1f}")
    taken.ratio("p99 with / without", mine, other, 1.1)


def _p99(latencies: Sequence[float]) -> float:
    return sorted(latencies)[int(len(latencies) * 0.99)]


class _Night:
    """Nights as they are at 02:00, one after the other; the last one hurries to its end."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._client: Any = runner.client.api

    def __enter__(self) -> _Night:
        self._begin()
        return self

    def _begin(self) -> None:
        self._exec = self._client.exec_create(self._runner.id, ["sh", "-c", NIGHT])["Id"]
        self._client.exec_start(self._exec, detach=True)
        time.sleep(SETTLE)

    def is_there(self) -> bool:
        """Whether it has not ended: RuntimeError when it failed."""
        found = self._client.exec_inspect(self._exec)
        if found["ExitCode"]:
            raise RuntimeError(f"a night ended with exit code {found['ExitCode']}")
        return bool(found["Running"])

    def hold(self) -> None:
        """Stop it, and all that it started."""
        if self.is_there():
            _run(self._runner, "python3", "-c", SIGNAL, "SIGSTOP")

    def go(self) -> None:
        """Let it go on, or begin the next. Its pacing lets go on what it started."""
        if self.is_there():
            _run(self._runner, "python3", "-c", SIGNAL, "SIGCONT")
        else:
            self._begin()

    def __exit__(self, *_: object) -> None:
        self.go()
        _backup(self._runner)
