"""Start a provider: a gRPC server on a free loopback port, whose number goes to stdout for the engine to read.

Start-up time is what a person waits for at every `pulumi up`, so the SDK's generated stubs are loaded without the SDK
(`import pulumi` costs more than all of a plugin).
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import signal
import sys
import threading
import types
from concurrent import futures
from pathlib import Path
from typing import Any

#: gRPC's default of 4 MB is too small for big states; the engine allows 400 MB.
MAX_MESSAGE = 400 * 1024 * 1024
WORKERS = 64


def load_stubs() -> tuple[Any, Any]:
    """The modules `provider_pb2` and `provider_pb2_grpc` of the installed SDK, without running its `__init__`s."""
    if "pulumi" not in sys.modules:
        spec = importlib.util.find_spec("pulumi")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit("the Python package 'pulumi' is not installed next to this plugin; run `make dev`")
        root = Path(next(iter(spec.submodule_search_locations)))
        for name, folder in (
            ("pulumi", root),
            ("pulumi.runtime", root / "runtime"),
            ("pulumi.runtime.proto", root / "runtime" / "proto"),
        ):
            shell = types.ModuleType(name)
            shell.__path__ = [str(folder)]
            sys.modules[name] = shell
    from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

    return provider_pb2, provider_pb2_grpc


def serve(servicer: Any, stop: threading.Event) -> None:
    """Serve until the engine ends this process, or is gone itself. `stop` is set first, so that waits end."""
    import grpc

    _, stubs = load_stubs()
    limits = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=WORKERS), options=limits)
    stubs.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    print(port, flush=True)
    faulthandler.cancel_dump_traceback_later()
    while not ended.wait(0.5) and os.getppid() == parent:
        pass
    stop.set()
    server.stop(grace=5 if ended.is_set() else 0).wait()
    os._exit(0)
