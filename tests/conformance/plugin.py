"""A plugin process under test, and the recordings of the official one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto import provider_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "airgap" / "plugins"
RECORDINGS = Path(__file__).parent / "recordings"
REQUESTS = {
    "CheckConfig": pb.CheckRequest,
    "DiffConfig": pb.DiffRequest,
    "Configure": pb.ConfigureRequest,
    "Check": pb.CheckRequest,
    "Diff": pb.DiffRequest,
    "Create": pb.CreateRequest,
    "Read": pb.ReadRequest,
    "Update": pb.UpdateRequest,
    "Delete": pb.DeleteRequest,
    "Invoke": pb.InvokeRequest,
}
Json = dict[str, Any]


class RefusedError(Exception):
    """The plugin answered with an error, written as Go prints one."""

    def __init__(self, error: grpc.RpcError) -> None:
        code = "".join(part.capitalize() for part in error.code().name.split("_"))
        self.text = f"rpc error: code = {code} desc = {error.details()}"
        self.metadata = [item.key for item in error.trailing_metadata() or ()]
        super().__init__(self.text)


class Plugin:
    """One started plugin. Calls take and give the JSON form of the messages, as in the recordings."""

    def __init__(self, name: str, environment: dict[str, str] | None = None, arguments: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [str(PLUGINS / f"pulumi-resource-{name}"), *arguments],
            stdout=subprocess.PIPE,
            env={**os.environ, "STELE_PLUGIN_PYTHON": sys.executable, **(environment or {})},
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line.isdigit(), f"the plugin '{name}' printed {line!r} instead of its port"
        self.channel = grpc.insecure_channel(f"127.0.0.1:{line}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(self.channel)

    def call(self, method: str, request: Json, timeout: float = 120.0) -> Json:
        """The answer. Raises RefusedError."""
        message = ParseDict(request, REQUESTS[method]())
        try:
            answer = getattr(self.stub, method)(message, timeout=timeout)
        except grpc.RpcError as error:
            raise RefusedError(error) from None
        return MessageToDict(answer)

    def cancel(self) -> None:
        """The engine's way of ending what is under way."""
        self.stub.Cancel(empty_pb2.Empty())

    def close(self, number: int = signal.SIGTERM) -> int:
        """End the process; its exit status."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(timeout=120)


@dataclass(frozen=True)
class Call:
    """One recorded call."""

    plugin: str
    scenario: str
    line: int
    method: str
    request: Json
    response: Json
    errors: tuple[str, ...]

    def __str__(self) -> str:
        name = self.request.get("name", "")
        return f"{self.plugin}/{self.scenario}:{self.line}-{self.method}-{name}"


def recorded(*methods: str, plugin: str = "*", scenario: str = "*") -> list[Call]:
    """The recorded calls of these methods, in the order of the recordings."""
    calls = []
    for path in sorted(RECORDINGS.glob(f"{plugin}/{scenario}.jsonl")):
        for line, text in enumerate(path.read_text().splitlines(), start=1):
            call = json.loads(text)
            method = call["method"].rsplit("/", 1)[-1]
            if not methods or method in methods:
                errors = tuple(call.get("errors", ()))
                response = call.get("response", {})
                calls.append(Call(path.parent.name, path.stem, line, method, call["request"], response, errors))
    return calls


def same_name(expected: str, actual: str) -> bool:
    """Whether two automatic names differ in their random part only."""
    tail = re.compile(r"-[0-9a-f]{7}$")
    return bool(tail.search(actual)) and tail.sub("", expected) == tail.sub("", actual)
