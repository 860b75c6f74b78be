"""Serves the language runtime on a free port of the loopback interface until the engine is gone."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from concurrent import futures

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
    options, _of_the_engine = _parser().parse_known_args(arguments)
    host = LanguageHost(runner, options.engine)

    def leave(code: int) -> None:
        host.stop()
        runner.discard()
        sys.stdout.flush()
        os._exit(code)

    def on_engine_exit() -> None:
        watch.stop_plugins(host.engine_address)
        leave(1)

    wait_for_signal = _catch_signals()
    watch.on_exit(options.parent, on_engine_exit)

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    wait_for_signal()
    leave(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pulumi-language-python")
    parser.add_argument("engine", nargs="?", default="", help="address of the engine")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process id of the engine")
    parser.add_argument("--tracing", help="not used")
    return parser


def _catch_signals() -> Callable[[], object]:
    """Returns a call that waits for SIGINT or SIGTERM, whichever thread the kernel gives it to."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    return lambda: os.read(reading, 1)
