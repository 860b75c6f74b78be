"""A plain client of the front door, for checks one request at a time."""

from __future__ import annotations

import http.client
import json
import threading
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """Status and body of one response."""

    status: int
    text: str

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


class Door:
    """The front door of one environment."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "localhost", parts.port or 80)

    def request(self, method: str, path: str, body: str | None = None) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """GET."""
        return self.request("GET", path)

    def order(self, **changed: Any) -> Answer:
        """POST an order; ``changed`` replaces single fields of a good one."""
        return self.request("POST", "/orders", json.dumps({"id": new_id(), "item": "slab", "quantity": 2} | changed))


class Caller:
    """``with Caller(url) as caller: ...`` asks without rest, each time anew: another question on another connection."""

    PAUSE = 0.005  # seconds; every connection leaves its port in TIME_WAIT for a minute, and there are 28,000

    def __init__(self, url: str) -> None:
        self._door = Door(url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.asked = 0
        self.failures: list[str] = []

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.wait(self.PAUSE):
            self.asked += 1
            try:
                answer = self._door.get(f"/health?question={self.asked}")
            except (OSError, http.client.HTTPException) as failure:
                self.failures.append(f"question {self.asked}: {failure!r}")
            else:
                if answer.status != 200:
                    self.failures.append(f"question {self.asked}: {answer}")

    def assert_answered(self) -> None:
        """Every question was answered, and there were some."""
        assert not self.failures, f"{len(self.failures)} of {self.asked} failed: {self.failures[:10]}"
        assert self.asked > 50


def new_id() -> str:
    """An order id that was never used."""
    return uuid.uuid4().hex
