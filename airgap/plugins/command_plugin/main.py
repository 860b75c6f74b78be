"""The `command` plugin: local commands."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import grpc
from bridge.errors import PluginError
from bridge.host import Host
from bridge.ignore import keep_ignored
from bridge.provider import answering
from bridge.refusal import Official
from bridge.schema import UNKNOWN
from bridge.serve import load_stubs, serve
from bridge.wire import decode, encode, has_unknowns, reveal
from google.protobuf import empty_pb2

from .assets import collect
from .differ import REPLACING, differences
from .inputs import checked
from .runner import run

pb, stubs = load_stubs()
Servicer: Any = stubs.ResourceProviderServicer
OFFICIAL = Official("command", "1.2.1")
TYPE = "command:local:Command"
OUTPUTS = ("stdout", "stderr", "assets", "archive")
#: The official plugin writes the version of its framework into the provider's state.
FRAMEWORK = {"__pulumi-go-provider-version": "v1.5.0"}


class CommandProvider(Servicer):  # type: ignore[misc]  # the stubs are loaded by path
    """Answers the engine."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.host = Host()

    # -- the provider itself ----------------------------------------------------------------------------------------

    def Handshake(self, request: Any, context: Any) -> Any:
        self.host = Host(request.engine_address or self.host.address)
        return pb.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return pb.pulumi_dot_plugin__pb2.PluginInfo(version=OFFICIAL.version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, OFFICIAL.refuse("its schema"))

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return pb.CheckResponse(inputs=encode({**decode(request.news, keep_secrets=True), **FRAMEWORK}))

    def DiffConfig(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "DiffConfig is not implemented")

    def Configure(self, request: Any, context: Any) -> Any:
        return pb.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True)

    def Cancel(self, request: Any, context: Any) -> Any:
        self.stop.set()
        return empty_pb2.Empty()

    def Attach(self, request: Any, context: Any) -> Any:
        self.host = Host(request.address)
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        with answering(context):
            raise PluginError(OFFICIAL.refuse(f"the function {request.tok}"))

    # -- the one resource type --------------------------------------------------------------------------------------

    def Check(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only(request.urn)
            inputs, failures = checked(decode(request.news, keep_secrets=True))
            found = [pb.CheckFailure(property=name, reason=reason) for name, reason in failures]
            return pb.CheckResponse(inputs=encode(inputs), failures=found)

    def Diff(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only(request.urn)
            olds = decode(request.olds, keep_secrets=True)
            old = decode(request.old_inputs, keep_secrets=True)
            new = keep_ignored(olds, decode(request.news, keep_secrets=True), list(request.ignoreChanges))
            found = differences(old, new)
            roots = {path: path.split("[", 1)[0].split(".", 1)[0] for path in found}
            replacing = {kind for kinds in REPLACING.values() for kind in kinds.values()}
            return pb.DiffResponse(
                changes=pb.DiffResponse.DIFF_SOME if found else pb.DiffResponse.DIFF_NONE,
                hasDetailedDiff=True,
                detailedDiff={path: pb.PropertyDiff(kind=kind) for path, kind in found.items()},
                diffs=sorted(set(roots.values())),
                replaces=sorted({roots[path] for path, kind in found.items() if kind in replacing}),
            )

    def Create(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only(request.urn)
            inputs = decode(request.properties, keep_secrets=True)
            identity = request.urn.rsplit("::", 1)[-1] + secrets.token_hex(4)
            if request.preview:
                outputs = {**inputs, "stdout": UNKNOWN, "stderr": UNKNOWN}
            else:
                outputs = self._run(request.urn, inputs.get("create"), inputs, {"stdout": "", "stderr": ""})
            return pb.CreateResponse(id=identity, properties=encode(outputs))

    def Read(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only(request.urn)
            return pb.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Update(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only(request.urn)
            olds = decode(request.olds, keep_secrets=True)
            inputs = keep_ignored(olds, decode(request.news, keep_secrets=True), list(request.ignoreChanges))
            previous: dict[str, Any] = {key: olds[key] for key in OUTPUTS if key in olds}
            if request.preview:
                outputs = {**inputs, **dict.fromkeys(previous, UNKNOWN)}
            else:
                command = inputs.get("update") if inputs.get("update") is not None else inputs.get("create")
                outputs = self._run(request.urn, command, inputs, previous)
            return pb.UpdateResponse(properties=encode(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only(request.urn)
            state = decode(request.properties, keep_secrets=True)
            self._run(request.urn, state.get("delete"), state, state)
            return empty_pb2.Empty()

    def _only(self, urn: str) -> None:
        token = urn.split("::")[2].split("$")[-1]
        if token != TYPE:
            raise PluginError(OFFICIAL.refuse(f"the resource type {token}"))

    def _run(self, urn: str, command: Any, inputs: dict[str, Any], previous: dict[str, Any]) -> dict[str, Any]:
        """Run a command, if there is one; the outputs of the resource."""
        plain = reveal(inputs)
        outputs = {**inputs, **previous}
        if command is None:
            return outputs
        if plain.get("archivePaths"):
            raise PluginError(OFFICIAL.refuse("the input archivePaths"))
        if has_unknowns(plain):
            raise PluginError(f"{urn}: an input is not known yet")
        out, err = run(
            reveal(command),
            plain,
            reveal(previous),
            lambda line: self.host.log(urn, line, ephemeral=True),
            self.stop,
        )
        outputs |= {"stdout": out, "stderr": err}
        if plain.get("assetPaths") is not None:
            outputs["assets"] = collect(plain.get("dir") or "", plain["assetPaths"])
        return outputs


def main() -> None:
    """Serve until the engine is done."""
    provider = CommandProvider()
    serve(provider, provider.stop)
