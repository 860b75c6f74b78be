"""Messages from a plugin to the person at the terminal, by way of the engine."""

from __future__ import annotations

import sys
import threading
from typing import Any

INFO, WARNING = 1, 2


def engine_address(arguments: list[str]) -> str:
    """The engine's address: the last argument that is neither a flag nor the package to run."""
    return next((item for item in reversed(arguments) if ":" in item and not item.startswith("-")), "")


class Host:
    """The engine that started this plugin. A message that cannot be delivered is lost: it never fails an operation."""

    def __init__(self, address: str | None = None) -> None:
        self.address = engine_address(sys.argv[2:]) if address is None else address
        self._stub: Any = None
        self._messages: Any = None
        self._lock = threading.Lock()

    def log(self, urn: str, message: str, *, severity: int = INFO, ephemeral: bool = False) -> None:
        """Show a line under the resource; `ephemeral` ones only while it is worked on."""
        if not self.address:
            return
        import grpc

        with self._lock:
            if self._stub is None:
                from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

                self._messages = engine_pb2
                self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(self.address))
        request = self._messages.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=5)
        except grpc.RpcError:
            self.address = ""
