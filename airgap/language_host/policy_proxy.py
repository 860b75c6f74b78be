"""Stands between the engine and a policy pack until the pack can be started.

Python's policy SDK reads the stack's name and configuration from its environment, while the engine sends them in its
call `ConfigureStack`. The proxy answers that call, and forwards all others as the bytes they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from pulumi.runtime.proto import analyzer_pb2

_SERVICE = "/pulumirpc.Analyzer/"
_START_SECONDS = 60.0
_GRACE_SECONDS = 5.0
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class PolicyProxy(grpc.GenericRpcHandler):
    """A server on `port` whose calls wait for `attach` or `refuse`."""

    def __init__(self) -> None:
        self._configured = threading.Event()
        self._configuration: analyzer_pb2.AnalyzerStackConfigureRequest | None = None
        self._settled = threading.Event()
        self._channel: grpc.Channel | None = None
        self._refusal = "the policy pack did not start in time"
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=_OPTIONS)
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def configuration(self) -> analyzer_pb2.AnalyzerStackConfigureRequest | None:
        """Waits for the engine's first call; None when that was not `ConfigureStack` (as in `policy publish`)."""
        self._configured.wait(_START_SECONDS)
        return self._configuration

    def attach(self, port: int) -> None:
        """Lets the waiting calls through to the pack."""
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS)
        if self._configuration is not None:
            self._hand_over(channel, self._configuration)
        self._channel = channel
        self._settled.set()

    def refuse(self, reason: str) -> None:
        """Answers the waiting calls with an error."""
        self._refusal = reason
        self._settled.set()

    def stop(self) -> None:
        """Ends the server, once the calls that wait have their answer; safe to call twice."""
        self._configured.set()
        self._settled.set()
        self._server.stop(_GRACE_SECONDS)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        method = handler_call_details.method
        if not method.startswith(_SERVICE):
            return None
        own: dict[str, Callable[[bytes, grpc.ServicerContext], bytes]] = {
            "Handshake": lambda _request, _context: analyzer_pb2.AnalyzerHandshakeResponse().SerializeToString(),
            "ConfigureStack": self._configure,
        }
        answer = own.get(method.removeprefix(_SERVICE))
        return grpc.unary_unary_rpc_method_handler(
            answer or (lambda request, context: self._forward(method, request, context))
        )

    def _configure(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        self._configuration = analyzer_pb2.AnalyzerStackConfigureRequest.FromString(request)
        self._configured.set()
        return analyzer_pb2.AnalyzerStackConfigureResponse().SerializeToString()

    def _forward(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._configured.set()
        self._settled.wait(_START_SECONDS)
        if self._channel is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, self._refusal)
        assert self._channel is not None
        try:
            return _call(self._channel, method, request)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details() or "")

    @staticmethod
    def _hand_over(channel: grpc.Channel, stack: analyzer_pb2.AnalyzerStackConfigureRequest) -> None:
        try:
            _call(channel, f"{_SERVICE}ConfigureStack", stack.SerializeToString())
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise


def _call(channel: grpc.Channel, method: str, request: bytes) -> bytes:
    """One call with bytes in and bytes out. Raises grpc.RpcError."""
    invoke: Any = channel.unary_unary(method)
    answer: bytes = invoke(request, wait_for_ready=True)
    return answer
