"""Talking to the parts over their sockets: Docker's HTTP API and the health checks."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from problem import Problem


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """A Docker engine on a unix socket."""

    def __init__(self, path: str, timeout: float = 60) -> None:
        self.path = path
        self.timeout = timeout

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    def call(self, method: str, route: str, body: object = None) -> Any:
        """The decoded answer; Problem for an answer of 400 and more, OSError when nobody answers."""
        connection = _UnixConnection(self.path, self.timeout)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, f"/v1.41{route}", payload, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer on {self.path}: {error}") from error
        finally:
            connection.close()
        value = json.loads(text) if text.lstrip()[:1] in ("{", "[", '"') else text
        if answer.status >= 400:
            message = value.get("message", text) if isinstance(value, dict) else text
            raise Problem(f"engine {self.host} refuses {method} {route}", str(message).strip().replace("\n", " "))
        return value

    def get(self, route: str) -> Any:
        return self.call("GET", route)


def healthy(kind: str, address: str, timeout: float = 5) -> bool:
    """Whether a part answers in its own protocol.

    Kinds: `docker` (socket path), `http` (port on 127.0.0.1, GET /v2/), `grpc` (socket path), `health` (port on
    127.0.0.1 or socket path, GET /health).
    """
    try:
        if kind == "docker":
            return bool(Engine(address, timeout).call("GET", "/_ping") == "OK")
        if kind == "http":
            return _registry_answers(int(address), timeout)
        if kind == "health":
            return _well(address, timeout)
        return _grpc_answers(address, timeout)
    except (OSError, Problem, http.client.HTTPException):
        return False


def _registry_answers(port: int, timeout: float) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/v2/")
        answer = connection.getresponse()
        return answer.status == 200 and answer.getheader("Docker-Distribution-Api-Version") == "registry/2.0"
    finally:
        connection.close()


def _well(address: str, timeout: float) -> bool:
    local = address.isdigit()
    connection = (
        http.client.HTTPConnection("127.0.0.1", int(address), timeout=timeout)
        if local
        else _UnixConnection(address, timeout)
    )
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def _grpc_answers(path: str, timeout: float) -> bool:
    """HTTP/2 preface and empty SETTINGS out, a SETTINGS frame (type 4) in: RFC 9113, section 3.4."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        frame = connection.recv(9)
    return len(frame) >= 4 and frame[3] == 4
