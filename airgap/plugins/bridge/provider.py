"""The gRPC face of a plugin whose resource types follow upstream's rules."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import empty_pb2

from .errors import PartialError, PluginError, listed
from .inputs import Naming, with_defaults
from .refusal import Official
from .schema import Block, Field, key_of
from .serve import load_stubs
from .translate import DEFAULTS
from .upstream import Upstream
from .validate import failures
from .wire import Secret, decode, encode

pb, stubs = load_stubs()
Servicer: Any = stubs.ResourceProviderServicer
AUTONAMING = {1: "enforce", 2: "disabled"}

Configured = Callable[[dict[str, Any]], Mapping[str, Upstream]]
Function = Callable[[dict[str, Any]], dict[str, Any]]


class UpstreamProvider(Servicer):  # type: ignore[misc]  # the stubs are loaded by path
    """Answers the engine. `configure` gives the resource types once the configuration is known."""

    def __init__(
        self, official: Official, config: Block, configure: Configured, functions: Mapping[str, Function]
    ) -> None:
        self.official = official
        self.config_block = config
        self.configure = configure
        self.functions = functions
        self.stop = threading.Event()
        self.types: Mapping[str, Upstream] = {}

    # -- the provider itself ----------------------------------------------------------------------------------------

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return pb.pulumi_dot_plugin__pb2.PluginInfo(version=self.official.version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, self.official.refuse("its schema"))

    def CheckConfig(self, request: Any, context: Any) -> Any:
        news = decode(request.news)
        found = failures({key: news[key] for key in news if key != "version"}, self.config_block, request.name)
        return pb.CheckResponse(inputs=request.news, failures=[pb.CheckFailure(reason=reason) for reason in found])

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return pb.DiffResponse()

    def Configure(self, request: Any, context: Any) -> Any:
        with answering(context):
            self.types = self.configure(decode(request.args))
        return pb.ConfigureResponse(supportsPreview=True, supports_autonaming_configuration=True)

    def Cancel(self, request: Any, context: Any) -> Any:
        self.stop.set()
        return empty_pb2.Empty()

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        with answering(context):
            function = self.functions.get(request.tok)
            if function is None:
                raise PluginError(self.official.refuse(f"the function {request.tok}"))
            return pb.InvokeResponse(**{"return": encode(function(decode(request.args)))})

    # -- resources --------------------------------------------------------------------------------------------------

    def _type(self, urn: str) -> Upstream:
        if not self.types:
            self.types = self.configure({})
        token = urn.split("::")[2].split("$")[-1]
        found = self.types.get(token)
        if found is None:
            raise PluginError(self.official.refuse(f"the resource type {token}"))
        return found

    def Check(self, request: Any, context: Any) -> Any:
        with answering(context):
            fields = self._type(request.urn).schema.fields
            news, olds = decode(request.news), decode(request.olds)
            naming = Naming(
                request.urn,
                request.randomSeed,
                request.autonaming.proposed_name,
                AUTONAMING.get(request.autonaming.mode, "propose") if request.HasField("autonaming") else "",
            )
            found = failures(news, fields, request.urn.rsplit("::", 1)[-1])
            inputs = news if found else mark_secrets(with_defaults(news, olds, fields, naming), fields)
            return pb.CheckResponse(
                inputs=encode(inputs), failures=[pb.CheckFailure(reason=reason) for reason in found]
            )

    def Diff(self, request: Any, context: Any) -> Any:
        with answering(context, f"diffing {request.urn}: "):
            found = self._type(request.urn).diff(
                decode(request.olds), decode(request.news), request.id, list(request.ignoreChanges)
            )
            return pb.DiffResponse(
                changes=pb.DiffResponse.DIFF_SOME if found.changed else pb.DiffResponse.DIFF_NONE,
                replaces=found.replaces,
                stables=found.stables,
                diffs=found.diffs,
                deleteBeforeReplace=found.delete_first,
                hasDetailedDiff=True,
                detailedDiff={path: pb.PropertyDiff(kind=kind) for path, kind in found.detailed.items()},
            )

    def Create(self, request: Any, context: Any) -> Any:
        with answering(context, as_list=True):
            resource = self._type(request.urn)
            identity, properties = resource.create(decode(request.properties), preview=request.preview)
            return pb.CreateResponse(id=identity, properties=encode(properties))

    def Read(self, request: Any, context: Any) -> Any:
        with answering(context, f"refreshing {request.urn}: ", as_list=True):
            found = self._type(request.urn).read(decode(request.properties), decode(request.inputs), request.id)
            if found is None:
                return pb.ReadResponse()
            identity, properties, inputs = found
            return pb.ReadResponse(id=identity, properties=encode(properties), inputs=encode(inputs))

    def Update(self, request: Any, context: Any) -> Any:
        with answering(context, f"updating {request.urn}: "):
            properties = self._type(request.urn).update(
                decode(request.olds),
                decode(request.news),
                request.id,
                preview=request.preview,
                ignored=list(request.ignoreChanges),
            )
            return pb.UpdateResponse(properties=encode(properties))

    def Delete(self, request: Any, context: Any) -> Any:
        with answering(context, f"deleting {request.urn}: ", as_list=True):
            self._type(request.urn).delete(decode(request.properties), request.id)
            return empty_pb2.Empty()


def mark_secrets(inputs: dict[str, Any], block: Block) -> dict[str, Any]:
    """The checked inputs with the sensitive ones marked secret, nested ones included."""
    return {
        name: value if name == DEFAULTS else _marked(value, block.get(key_of(name, block)))
        for name, value in inputs.items()
    }


def _marked(value: Any, spec: Field | None) -> Any:
    if spec is None:
        return value
    if spec.elem is not None and isinstance(value, list):
        return [_marked(item, spec) for item in value]
    if spec.elem is not None and isinstance(value, dict):
        return mark_secrets(value, spec.elem)
    return Secret(value) if spec.sensitive else value


@contextmanager
def answering(context: Any, prefix: str = "", *, as_list: bool = False) -> Iterator[None]:
    """Turn a PluginError into the official plugin's way of saying so; `as_list`: as upstream prints a list of one."""
    try:
        yield
    except PartialError as error:
        _partly_done(context, prefix + str(error), error)
    except PluginError as error:
        message = listed(str(error)) if as_list else str(error)
        context.abort(grpc.StatusCode.UNKNOWN, prefix + message)
    except ValueError as error:
        context.abort(grpc.StatusCode.UNKNOWN, f"{prefix}{error}")


def _partly_done(context: Any, message: str, error: PartialError) -> None:
    """An error that carries the resource's state along, so that the engine does not lose it."""
    from google.rpc import status_pb2

    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message)
    status.details.add().Pack(
        pb.ErrorResourceInitFailed(id=error.identity, properties=encode(error.attributes), reasons=[message])
    )
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, message)
