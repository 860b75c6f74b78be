"""Serves the language runtime on a free port of the loopback interface until the engine is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent import futures
from types import FrameType

import grpc
from pulumi.runtime.proto import language_pb2_grpc

from airgap.language_host import watch
from airgap.language_host.program import ProgramRunner
from airgap.language_host.service import LanguageHost

# As in the engine: state and configuration can be larger than gRPC's default of 4 MiB.
MESSAGE_LIMIT = 400 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", MESSAGE_LIMIT), ("grpc.max_send_message_length", MESSAGE_LIMIT)]


def main(arguments: list[str], runner: ProgramRunner) -> None:
    """Prints the port, serves, and leaves by `os._exit`: nothing here needs Python's slow way out."""
    host = LanguageHost(runner, next((a for a in reversed(arguments) if not a.startswith("-")), ""))

    def leave(code: int) -> None:
        host.stop()
        runner.discard()
        sys.stdout.flush()
        os._exit(code)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        leave(0)

    def on_engine_exit() -> None:
        watch.stop_plugins(host.engine_address)
        leave(1)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    watch.on_parent_exit(on_engine_exit)

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    threading.Event().wait()
