"""Backup and restore of one environment: what a night stores, how fast it comes back, and what its callers notice."""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import Any

import docker

from bench.lab.workspace import BACKUP_SECRETS, Stack
from bench.laboratory import BASE, Laboratory
from bench.results import Measurement, say, spread

PORT = 18280
WITHOUT = 120  # seconds of load without a backup
ROWS, CHANGED = 2_000_000, 400_000  # orders before the first night, and added before the second
FEW = 100_000  # while latencies are measured: a paced night of many takes most of an hour
FILL = """
insert into orders (id, item, quantity)
select 'bench-{tag}-' || g || '-' || md5(random()::text), md5(random()::text), 1 + g % 9
from generate_series(1, {rows}) g
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
        f"{FEW:,} orders, the same load with and without a night, in turn.",
    )
    rounds = 3 if lab.short else 7
    stack = _environment(lab)
    client: Any = docker.from_env()
    runner, database = (_container(client, stack, name) for name in ("backup", "database"))
    _fill(database, "few", FEW)
    _backup(runner)
    _latencies(lab, taken, runner, 2 if lab.short else 5)
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


def _latencies(lab: Laboratory, taken: Measurement, runner: Any, rounds: int) -> None:
    """The same load with and without a night, in turn."""
    quantiles: dict[bool, list[float]] = {False: [], True: []}
    nights: list[float] = []
    with lab.load("backup-warm", PORT) as load:
        load.wait(WITHOUT)
    for number in range(rounds):
        for busy in (False, True):
            say("backup", f"load {number + 1} of {rounds}, {'with' if busy else 'without'} a night")
            with lab.load(f"backup-{number}-{busy}", PORT) as load:
                began = time.monotonic()
                if busy:
                    _backup(runner, "night")
                    nights.append(time.monotonic() - began)
                else:
                    load.wait(WITHOUT)
            quantiles[busy].append(load.report["latency_ms"]["p99"])
    taken.add("a night under load", spread(nights))
    taken.add("p99 without a night, ms", spread(quantiles[False], ""))
    taken.add("p99 during a night, ms", spread(quantiles[True], ""))
    taken.ratio("p99 with / without", statistics.median(quantiles[True]), statistics.median(quantiles[False]), 1.1)
