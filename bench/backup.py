"""Backup and restore of one environment: what a night stores, how fast it comes back, and what its callers notice."""

from __future__ import annotations

import json
import os
import random
import statistics
from bisect import bisect
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import docker

from bench.lab.workspace import BACKUP_SECRETS, Stack
from bench.laboratory import BASE, Laboratory
from bench.results import Measurement, say, spread

PORT = 18280
# At all of it, two processors are so busy that the p99 of one window is three times another's, whatever a night does.
PART = 0.5  # of the rate
WARM = 60  # seconds of load before anything is measured
SETTLE, WINDOW = 1.5, 5.0  # seconds after each change, and measured then
ROWS, CHANGED = 2_000_000, 400_000  # orders before the first night, and added before the second
FEW = 100_000  # while latencies are measured: a paced night of many takes most of an hour
PAIRS, RESAMPLED = 200, 1000
FILL = """
insert into orders (id, item, quantity)
select 'bench-{tag}-' || g || '-' || md5(random()::text), md5(random()::text), 1 + g % 9
from generate_series(1, {rows}) g
"""
# In the runner's container, so that a change costs next to nothing: nights as they are at 02:00, one after the other,
# each held (all of it, its pacing first, which lets go on what it started) and let go on as it is told. The last one
# hurries to its end. It prints when each window began and ended, by the clock that all on this machine share.
NIGHTS = """
import json, os, signal, subprocess, sys, time
sys.path.insert(0, "/opt/stele/lib")
from runner import pacing
from runner.night import HURRY
schedule, settle, window = json.loads(sys.argv[1])
begin = lambda: subprocess.Popen(["/opt/stele/backup", "night"], stdout=subprocess.DEVNULL)
night = begin()
for runs in schedule:
    if night.poll():
        sys.exit(f"a night ended with exit code {night.returncode}")
    if HURRY.exists():
        sys.exit("another backup runs beside the night")
    if night.returncode == 0:
        night = begin()
    if runs:
        os.kill(night.pid, signal.SIGCONT)
    else:
        os.kill(night.pid, signal.SIGSTOP)
        pacing._stop(night.pid)
    time.sleep(settle)
    began = time.monotonic()
    time.sleep(window)
    print(json.dumps([runs, began, time.monotonic(), night.poll() is None]), flush=True)
os.kill(night.pid, signal.SIGCONT)
subprocess.run(["/opt/stele/backup", "backup"], stdout=subprocess.DEVNULL, check=True)
sys.exit(night.wait())
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
        f"{WINDOW:g} s, in random pairs, and every request that was due in one kind of window counts for that kind.",
    )
    rounds = 3 if lab.short else 7
    stack = _environment(lab)
    client: Any = docker.from_env()
    runner, database = (_container(client, stack, name) for name in ("backup", "database"))
    _fill(database, "few", FEW)
    _backup(runner)
    _latencies(lab, taken, runner, PAIRS // 2 if lab.short else PAIRS)
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
    # A time zone in which it is 14 o'clock: a night that begins by itself is no part of this.
    zone = f"Etc/GMT{datetime.now(UTC).hour - 14:+d}"
    stack = lab.workspace.environment(
        "b-backup", BACKUP_SECRETS, version=BASE, port=PORT, storage="b-storage", sizing="M", timezone=zone
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


def _backup(runner: Any) -> dict[str, Any]:
    """As fast as it can, not as it is at 02:00."""
    say("backup", "a backup")
    return dict(json.loads(_run(runner, "/opt/stele/backup", "backup").strip().splitlines()[-1]))


def _latencies(lab: Laboratory, taken: Measurement, runner: Any, pairs: int) -> None:
    """One load; a night that runs and is held in turn, in an order that nothing else on the machine can follow."""
    windows = []
    with lab.load("backup", PORT, part=PART) as load:
        load.wait(WARM)
        for count, told in enumerate(_nights(runner, pairs)):
            windows.append(told)
            if count % 20 == 0:
                say("backup", f"load: window {count + 1} of {2 * pairs}, with and without a night")
    load.assert_spotless()
    each = sorted(load.latencies())
    due = [moment for moment, _ in each]
    found: list[_Pair] = []
    for one, other in zip(windows[::2], windows[1::2], strict=True):
        if one.whole and other.whole:
            within = {
                window.runs: [latency for _, latency in each[bisect(due, window.began) : bisect(due, window.ended)]]
                for window in (one, other)
            }
            found.append(within)
    count = sum(len(pair[False]) + len(pair[True]) for pair in found)
    taken.add("windows with and without a night, requests in them", f"{2 * len(found)}, {count:,}")
    for part in (0.5, 0.95, 0.99):
        held, running = _held_and_running(found, part)
        name = f"p{part * 100:g}"
        taken.add(f"{name} while a night is held, and while it runs, ms", f"{held * 1e3:.1f}, {running * 1e3:.1f}")
        taken.add(f"{name} with / without, nine of ten resamplings", _interval(found, part))
    taken.ratio("p99 with / without", running, held, 1.1)


_Pair = dict[bool, list[float]]  # whether a night ran: the latencies, in seconds, of two windows side by side


class _Window(NamedTuple):
    """A while in which a night ran or was held; whether it was there until the end."""

    runs: bool
    began: float
    ended: float
    whole: bool


def _nights(runner: Any, pairs: int) -> Iterator[_Window]:
    """Windows as they end; RuntimeError when a night fails."""
    schedule = [runs for _ in range(pairs) for runs in random.sample((False, True), 2)]
    words = ["python3", "-c", NIGHTS, json.dumps([schedule, SETTLE, WINDOW])]
    api = runner.client.api
    started = api.exec_create(runner.id, words)["Id"]
    said = b""
    for piece in api.exec_start(started, stream=True):
        *lines, said = (said + piece).split(b"\n")
        for line in lines:
            try:
                yield _Window(*json.loads(line))
            except ValueError:
                raise RuntimeError(line.decode(errors="replace")) from None
    if status := api.exec_inspect(started)["ExitCode"]:
        raise RuntimeError(f"nights ended with exit code {status}: {said.decode(errors='replace')}")


def _interval(pairs: Sequence[_Pair], part: float) -> str:
    """How far the ratio is known: of what is drawn from these pairs, as many each time, all but the outer tenth."""
    ratios = []
    for _ in range(RESAMPLED):
        held, running = _held_and_running(random.choices(pairs, k=len(pairs)), part)  # noqa: S311
        ratios.append(running / held)
    ratios.sort()
    return f"{ratios[RESAMPLED // 20]:.3g} to {ratios[-(RESAMPLED // 20) - 1]:.3g}"


def _held_and_running(pairs: Sequence[_Pair], part: float) -> list[float]:
    """The latency, in seconds, that ``part`` of the requests stayed below, without and with a night."""
    both = (sorted(latency for pair in pairs for latency in pair[runs]) for runs in (False, True))
    return [latencies[int(len(latencies) * part)] for latencies in both]
