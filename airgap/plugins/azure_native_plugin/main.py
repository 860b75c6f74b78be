"""The `azure-native` plugin: plans for the types that Stele's program uses, and no call to Azure."""

from __future__ import annotations

import threading
from typing import Any

import grpc
from bridge.errors import PluginError
from bridge.ignore import keep_ignored
from bridge.provider import answering
from bridge.refusal import Official
from bridge.serve import load_stubs, serve
from bridge.wire import decode, encode
from google.protobuf import empty_pb2

from .checks import faults
from .rules import TYPES, plan, root_of
from .sdk import inputs, version

pb, stubs = load_stubs()
Servicer: Any = stubs.ResourceProviderServicer
OFFICIAL = Official("azure-native", version())


class AzureNativeProvider(Servicer):  # type: ignore[misc]  # the stubs are loaded by path
    """Answers the engine."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    # -- the provider itself ----------------------------------------------------------------------------------------

    def Handshake(self, request: Any, context: Any) -> Any:
        return pb.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return pb.pulumi_dot_plugin__pb2.PluginInfo(version=OFFICIAL.version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, OFFICIAL.refuse("its schema"))

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return pb.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return pb.DiffResponse(changes=pb.DiffResponse.DIFF_UNKNOWN)

    def Configure(self, request: Any, context: Any) -> Any:
        return pb.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True)

    def Cancel(self, request: Any, context: Any) -> Any:
        self.stop.set()
        return empty_pb2.Empty()

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        with answering(context):
            raise PluginError(OFFICIAL.refuse(f"the function {request.tok}"))

    # -- plans ------------------------------------------------------------------------------------------------------

    def Check(self, request: Any, context: Any) -> Any:
        with answering(context):
            found = faults(decode(request.news), inputs(known(request.urn)))
            failures = [pb.CheckFailure(property=name, reason=reason) for name, reason in found]
            return pb.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        with answering(context):
            token = known(request.urn)
            old = decode(request.old_inputs)
            new = keep_ignored(old, decode(request.news), list(request.ignoreChanges))
            found = plan(token, old, new)
            return pb.DiffResponse(
                changes=pb.DiffResponse.DIFF_SOME if found.kinds else pb.DiffResponse.DIFF_NONE,
                hasDetailedDiff=True,
                detailedDiff={
                    path: pb.PropertyDiff(kind=kind, inputDiff=True) for path, kind in sorted(found.kinds.items())
                },
                diffs=sorted({root_of(path) for path in found.kinds}),
                replaces=found.replaces,
                deleteBeforeReplace=found.delete_first,
            )

    def Create(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only_previews(request, "creating")
            return pb.CreateResponse(properties=request.properties)

    def Update(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only_previews(request, "updating")
            outputs = decode(request.olds, keep_secrets=True) | decode(request.news, keep_secrets=True)
            return pb.UpdateResponse(properties=encode(outputs))

    def Read(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only_previews(request, "reading")

    def Delete(self, request: Any, context: Any) -> Any:
        with answering(context):
            self._only_previews(request, "deleting")

    def _only_previews(self, request: Any, verb: str) -> None:
        token = known(request.urn)
        if not getattr(request, "preview", False):
            raise PluginError(OFFICIAL.refuse(f"{verb} {token} (it makes previews only)"))


def known(urn: str) -> str:
    """The type in a URN. Raises PluginError for one without rules here."""
    token = urn.split("::")[2].split("$")[-1]
    if token not in TYPES:
        raise PluginError(OFFICIAL.refuse(f"the resource type {token}"))
    return token


def main() -> None:
    """Serve until the engine is done."""
    provider = AzureNativeProvider()
    serve(provider, provider.stop)
