"""Load on the front door: keep-alive connections, unique order ids, every answer checked, nothing retried.

``python -m bench.load URL OUTPUT.json --rate 150 --connections 24`` runs until it gets SIGTERM or ``--seconds`` are
over, then reads every acknowledged order back and writes what it saw. A request that was sent and not answered as it
should be is a failure, whatever the reason. Only an idle connection that the server closed *before* a request is opened
anew, as every HTTP client does (RFC 9112, 9.3.1).
"""

from __future__ import annotations

import argparse
import asyncio
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

ANSWER_LIMIT = 60.0  # seconds; latency is allowed during a hand-over, silence is not


class RequestError(Exception):
    """A request that was not answered as it should be."""


class Connection:
    """One keep-alive HTTP/1.1 connection."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.opened = 0

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send one request and return status and body. Raises RequestError."""
        try:
            await self._ready()
            assert self._reader is not None
            assert self._writer is not None
            head = f"{method} {path} HTTP/1.1\r\nHost: {self._address[0]}\r\nContent-Length: {len(body)}\r\n\r\n"
            self._writer.write(head.encode() + body)
            return await asyncio.wait_for(self._answer(), ANSWER_LIMIT)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            self.close()
            raise RequestError(f"{type(error).__name__}: {error}") from None

    async def _ready(self) -> None:
        if self._writer is not None and self._reader is not None and not self._reader.at_eof():
            return
        self.close()
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        self.opened += 1

    async def _answer(self) -> tuple[int, bytes]:
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await self._chunks()
        else:
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, body

    async def _chunks(self) -> bytes:
        assert self._reader is not None
        parts = []
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readuntil(b"\r\n")
        return b"".join(parts)

    def close(self) -> None:
        """Drop the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


@dataclass
class Report:
    """What the load saw. Times in seconds."""

    requests: int = 0
    acknowledged: list[str] = field(default_factory=list)
    failures: list[dict[str, object]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    unread: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)  # orders that were read back once: they must stay readable

    def failed(self, what: str, reason: str) -> None:
        """Record one failed request with the time of day."""
        self.failures.append({"at": time.time(), "request": what, "reason": reason})

    def summary(self) -> dict[str, object]:
        """The plain form: counts, failures (the first hundred in full), latencies in milliseconds."""
        ordered = sorted(self.latencies) or [0.0]
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
            "latency_ms": at | {"max": round(ordered[-1] * 1000, 1)},
            "connections_opened": self.connections,
            "versions": self.versions,
        }


_QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))


async def _one(connection: Connection, report: Report) -> None:
    """One request of the mix: six in ten new orders, three reads of acknowledged ones, one look at the version."""
    kind = random.random()  # noqa: S311 - a mix of requests, nothing secret
    began = time.monotonic()
    report.requests += 1
    what = "GET /version"
    try:
        if kind < 0.6 or not report.acknowledged:
            order = uuid.uuid4().hex
            what = f"POST /orders {order}"
            body = json.dumps({"id": order, "item": "stele", "quantity": 1}).encode()
            _expect(await connection.request("POST", "/orders", body), 202)
            report.acknowledged.append(order)
        elif kind < 0.9:
            order = random.choice(report.acknowledged)  # noqa: S311
            what = f"GET /orders/{order}"
            # An order is stored a moment after it is acknowledged: not there yet is an honest answer, gone is not.
            allowed = (200,) if order in report.seen else (200, 404)
            status, stored = _expect(await connection.request("GET", f"/orders/{order}"), *allowed)
            if status == 200:
                if json.loads(stored)["id"] != order:
                    raise RequestError(f"another order: {stored[:120]!r}")
                report.seen.add(order)
        else:
            version = json.loads(_expect(await connection.request("GET", "/version"), 200)[1])["version"]
            report.versions[version] += 1
    except (RequestError, ValueError, KeyError) as failure:  # the latter two: an answer that is not what it should be
        report.failed(what, str(failure))
    report.latencies.append(time.monotonic() - began)


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
    await asyncio.sleep(random.random() * interval)  # noqa: S311
    due = time.monotonic()
    while not stop.is_set():
        await _one(connection, report)
        due = max(due + interval, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


async def _read_back(connections: list[Connection], report: Report, limit: float) -> None:
    """Every acknowledged order must be readable, at the latest ``limit`` seconds after the load ended."""
    deadline = time.monotonic() + limit
    queue = list(report.acknowledged)

    async def read(connection: Connection) -> None:
        while queue:
            order = queue.pop()
            while True:
                try:
                    status, body = await connection.request("GET", f"/orders/{order}")
                    if status == 200 and json.loads(body)["id"] == order:
                        break
                except RequestError:
                    pass
                if time.monotonic() > deadline:
                    report.unread.append(order)
                    break
                await asyncio.sleep(0.2)

    await asyncio.gather(*(read(connection) for connection in connections))


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
    workers = (_worker(each, report, count / rate, stop) for each in connections)
    await asyncio.gather(_tell(report, stop), *workers)
    await _read_back(connections, report, read_back)
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
    parser.add_argument("--read-back", type=float, default=60, help="seconds the last orders have to become readable")
    given = parser.parse_args(arguments)
    report = asyncio.run(run(given.url, given.rate, given.connections, given.seconds, given.read_back))
    given.output.write_text(json.dumps(report.summary(), indent=1))
    return 1 if report.failures or report.unread else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
