"""A plain client of the front door, for checks one request at a time."""

from __future__ import annotations

import http.client
import json
import uuid
from dataclasses import dataclass
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


def new_id() -> str:
    """An order id that was never used."""
    return uuid.uuid4().hex
