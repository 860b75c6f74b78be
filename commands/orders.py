"""Orders for the drill, placed and looked up through a front door: ``python -m commands.orders VERB URL COUNT``.

A process of its own, so that it can run in another engine's network namespace.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import uuid
from urllib.parse import urlsplit

LIMIT = 60  # seconds for all of them to be there: those that were in the broker are stored after the door opens


def ask(door: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> int:
    """The status of one request."""
    door.request(method, path, body)
    answer = door.getresponse()
    answer.read()
    return answer.status


def place(door: http.client.HTTPConnection, count: int) -> list[str]:
    """The ids of ``count`` orders that were acknowledged."""
    placed = []
    for _ in range(count):
        order = {"id": f"drill-{uuid.uuid4().hex[:12]}", "item": "slab", "quantity": 1}
        status = ask(door, "POST", "/orders", json.dumps(order))
        if status >= 300:
            raise SystemExit(f"an order was refused with status {status}; is the stack healthy?")
        placed.append(str(order["id"]))
    return placed


def find(door: http.client.HTTPConnection, wanted: list[str], limit: float) -> list[str]:
    """Those of the wanted ids that are not there, after they had ``limit`` seconds to arrive."""
    deadline = time.monotonic() + limit
    while wanted := [name for name in wanted if ask(door, "GET", f"/orders/{name}") != 200]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return wanted


def main(verb: str, url: str, count: str) -> int:
    """Print ids, a JSON list: what was placed (``place``), or what is missing of those on standard input: at once
    (``look``), or after they had time to arrive (``find``)."""
    parts = urlsplit(url)
    door = http.client.HTTPConnection(parts.hostname or "localhost", parts.port or 80, timeout=60)
    limits = {"look": 0, "find": LIMIT}
    print(json.dumps(place(door, int(count)) if verb == "place" else find(door, json.load(sys.stdin), limits[verb])))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
