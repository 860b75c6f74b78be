"""What keeps a plan that changes nothing nearly as fast as an empty program (``python -m bench.run --only noop``).

Nothing here changes what is declared; without it the same program takes half as long again.
"""

from __future__ import annotations

import atexit
import gc
import os
from importlib import metadata

import pulumi
from google.protobuf import struct_pb2
from pulumi.runtime import settings
from pulumi.runtime.proto import resource_pb2

_PATIENCE = 60  # seconds


def begin() -> None:
    """Call first, before anything heavy is imported."""
    # The program lives for a second or two: looking for cycles costs a tenth of that and frees nothing that matters.
    gc.disable()
    atexit.register(gc.freeze)  # the interpreter looks once more when it ends
    _keep_debug_messages_local()


def _keep_debug_messages_local() -> None:
    """The SDK sends every debug message by a blocking call, five for each resource, also when nobody will see them
    (https://github.com/pulumi/pulumi/issues/7292).

    ``PULUMI_DEBUG_PROMISE_LEAKS`` or ``STELE_DEBUG`` in the environment brings them back.
    """
    if not (os.environ.get("STELE_DEBUG") or os.environ.get("PULUMI_DEBUG_PROMISE_LEAKS")):
        pulumi.log.debug = lambda *_, **__: None


def wake_docker_plugin() -> None:
    """Let the engine start the docker plugin while Python still imports; otherwise the first resource waits for it.

    Before the settings are checked, on purpose. What the answer says does not matter: whatever is wrong, the first
    resource says it properly. But the program does not end before it: one that stopped while the engine was starting
    the plugin was once never seen to end.
    """
    # The version that the resources will ask for: another one would be another process.
    _ask("docker:index/getNetwork:getNetwork", "host", metadata.version("pulumi-docker"))


def wake_state() -> None:
    """The same for the states of stacks: the engine takes a fifth of a second for the first question about them."""
    own = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    _ask("pulumi:pulumi:readStackOutputs", own)


def _ask(token: str, name: str, version: str = "") -> None:
    arguments = struct_pb2.Struct()
    arguments.update({"name": name})
    request = resource_pb2.ResourceInvokeRequest(tok=token, args=arguments, version=version)
    if monitor := settings.get_monitor():
        answer = monitor.Invoke.future(request)
        atexit.register(answer.exception, timeout=_PATIENCE)
