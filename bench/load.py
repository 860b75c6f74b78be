"""Load on the front door: keep-alive connections, unique order ids, every answer checked, nothing retried.

``python -m bench.load URL OUTPUT.json --rate 150 --connections 24`` runs until it gets SIGTERM or ``--seconds`` are
over, then reads every acknowledged order back, counts what is stored, and writes what it saw. A request that was sent
and not answered as it should be is a failure, whatever the reason. Only an idle connection that the server closed
*before* a request is opened anew, as every HTTP client does (RFC 9112, 9.3.1).

Requests are due at fixed times, whether or not earlier ones have been answered, and a latency begins when its request
was due: callers who would have come during a stall are counted as having waited.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench.connection import Connection, RequestError


@dataclass
class Report:
    """What the load saw. Times in seconds."""

    requests: int = 0
    acknowledged: list[str] = field(default_factory=list)
    uncertain: int = 0  # orders that were sent and not acknowledged: they may be stored or not
    failures: list[dict[str, object]] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)  # each: when it was due, how long it took
    unsent: int = 0  # requests that were due when the load ended, and never sent
    versions: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    unread: list[str] = field(default_factory=list)  # acknowledged orders that could not be read back, and why
    seen: set[str] = field(default_factory=set)  # orders that were read back once: they must stay readable
    stored: dict[str, int] = field(default_factory=dict)  # GET /orders before and after, and what it may be after

    def failed(self, what: str, reason: str) -> None:
        """Record one failed request with the time of day."""
        self.failures.append({"at": time.time(), "request": what, "reason": reason})

    def summary(self) -> dict[str, object]:
        """The plain form: counts, failures (the first hundred in full), latencies in milliseconds."""
        ordered = sorted(latency for _, latency in self.latencies) or [0.0]
        at = {
            name: round(ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000, 1) for name, part in _QUANTILES
        }
        return {
            "requests": self.requests,
            "failed": len(self.failures),
            "failures": self.failures[:100],
            "reasons": Counter(str(failure["reason"]) for failure in self.failures),
            "acknowledged": len(self.acknowledged),
            "acknowledged_unreadable": len(self.unread),
            "unreadable": self.unread[:100],
            "stored": self.stored,
            "unsent": self.unsent,
            "latency_ms": at | {"max": round(ordered[-1] * 1000, 1)},
            "connections_opened": self.connections,
            "versions": self.versions,
        }


_QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))


def order_of(identity: str) -> dict[str, object]:
    """The order of an id (hex digits). Item and quantity follow from it, so that mixed-up orders show."""
    return {"id": identity, "item": f"slab {identity[:8]}", "quantity": 1 + int(identity[-3:], 16)}


async def _one(connection: Connection, report: Report, due: float) -> None:
    """One request of the mix: six in ten new orders, three reads of acknowledged ones, one look at the version."""
    kind = random.random()  # noqa: S311 - a mix of requests, nothing secret
    report.requests += 1
    what = "GET /version"
    try:
        if kind < 0.6 or not report.acknowledged:
            order = uuid.uuid4().hex
            what = f"POST /orders {order}"
            await _post(connection, report, order)
        elif kind < 0.9:
            order = random.choice(report.acknowledged)  # noqa: S311
            what = f"GET /orders/{order}"
            await _read(connection, report, order)
        else:
            version = json.loads(_expect(await connection.request("GET", "/version"), 200)[1])["version"]
            report.versions[version] += 1
    except (RequestError, ValueError, KeyError) as failure:  # the latter two: an answer that is not what it should be
        report.failed(what, str(failure))
    report.latencies.append((due, time.monotonic() - due))


async def _post(connection: Connection, report: Report, order: str) -> None:
    try:
        _expect(await connection.request("POST", "/orders", json.dumps(order_of(order)).encode()), 202)
    except RequestError:
        report.uncertain += 1
        raise
    report.acknowledged.append(order)


async def _read(connection: Connection, report: Report, order: str) -> bool:
    """Read an acknowledged order: whether it is there yet. Raises RequestError for any other answer than it should be.

    An order is stored a moment after it is acknowledged: not there yet is an honest answer, gone again is not.
    """
    allowed = (200,) if order in report.seen else (200, 404)
    status, stored = _expect(await connection.request("GET", f"/orders/{order}"), *allowed)
    if status == 404:
        return False
    if json.loads(stored) != order_of(order):
        raise RequestError(f"another order: {stored[:120]!r}")
    report.seen.add(order)
    return True


def _expect(answer: tuple[int, bytes], *allowed: int) -> tuple[int, bytes]:
    status, body = answer
    if status not in allowed:
        raise RequestError(f"status {status}: {body[:120].decode(errors='replace')}")
    return answer


async def _tell(report: Report, stop: asyncio.Event) -> None:
    """Say how far it is: at the hundredth request (whoever started the load waits for that) and then now and then."""
    told, step = 0, 100
    while not stop.is_set():
        if report.requests >= told + step:
            told = report.requests if told else 100
            print(f"load: {told} requests, {len(report.failures)} failed", flush=True)
            step = 1000
        await asyncio.sleep(0.1)


async def _worker(connection: Connection, report: Report, interval: float, stop: asyncio.Event) -> None:
    due = time.monotonic() + random.random() * interval  # noqa: S311
    while not await _stopped(stop, due):
        await _one(connection, report, due)
        due += interval
    while due < (now := time.monotonic()):
        report.unsent += 1
        report.latencies.append((due, now - due))
        due += interval


async def _stopped(stop: asyncio.Event, due: float) -> bool:
    """Wait until a request is due; True when the load ended before or has ended already."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
    return stop.is_set()


async def _read_back(connections: list[Connection], report: Report, limit: float) -> None:
    """Every acknowledged order must be readable as it was sent, at the latest ``limit`` seconds after the load."""
    deadline = time.monotonic() + limit
    queue = list(report.acknowledged)

    async def read(connection: Connection) -> None:
        while queue:
            order = queue.pop()
            try:
                while not await _read(connection, report, order):
                    if time.monotonic() > deadline:
                        raise RequestError(f"not there {limit:g} s after the load ended")
                    await asyncio.sleep(0.2)
            except (RequestError, ValueError) as failure:
                report.unread.append(f"{order}: {failure}")

    await asyncio.gather(*(read(connection) for connection in connections))


async def _count(connection: Connection, report: Report) -> int | None:
    """How many orders are stored; None when it cannot be told, which counts as a failure."""
    try:
        return int(json.loads(_expect(await connection.request("GET", "/orders"), 200)[1])["count"])
    except (RequestError, ValueError, KeyError) as failure:
        report.failed("GET /orders", str(failure))
        return None


def _compare_counts(report: Report, before: int | None, after: int | None) -> None:
    """What is stored more must be the acknowledged orders, once each, and at most the uncertain ones besides."""
    if before is None or after is None:
        return
    least = before + len(report.acknowledged)
    most = least + report.uncertain
    report.stored = {"before": before, "after": after, "least": least, "most": most}
    if not least <= after <= most:
        report.failed("GET /orders", f"{after} orders are stored, expected {least} to {most}")


async def run(url: str, rate: float, count: int, seconds: float | None, read_back: float) -> Report:
    """Load ``url`` at ``rate`` requests a second over ``count`` connections until SIGTERM or ``seconds``."""
    parts = urlsplit(url)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    report = Report()
    connections = [Connection(parts.hostname or "127.0.0.1", parts.port or 80) for _ in range(count)]
    before = await _count(connections[0], report)
    workers = (_worker(each, report, count / rate, stop) for each in connections)
    await asyncio.gather(_tell(report, stop), *workers)
    await _read_back(connections, report, read_back)
    _compare_counts(report, before, await _count(connections[0], report))
    report.connections = sum(each.opened for each in connections)
    for each in connections:
        each.close()
    return report


def main(arguments: list[str]) -> int:
    """Command line; exit code 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="bench.load", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("output", type=Path)
    parser.add_argument("--rate", type=float, default=150, help="requests a second")
    parser.add_argument("--connections", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument(
        "--each", type=Path, help="a file for every request: when it was due (CLOCK_MONOTONIC), seconds"
    )
    parser.add_argument("--read-back", type=float, default=60, help="seconds the last orders have to become readable")
    given = parser.parse_args(arguments)
    report = asyncio.run(run(given.url, given.rate, given.connections, given.seconds, given.read_back))
    given.output.write_text(json.dumps(report.summary(), indent=1))
    if given.each:
        given.each.write_text(json.dumps(report.latencies))
    return 1 if report.failures or report.unread else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
