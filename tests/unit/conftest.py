"""Composition under mocks: every test gets its own mocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

LOADED = '{"stack": "dev", "from": "vanilla 1.0.0", "schema": 1}'  # what the task runner reports

BAKED = (
    '{"disk": "sha256:d", "size": 7, "tree": "sha256:t", "sbom": "sha256:s", "lock": "sha256:l", "accelerator": "tcg"}'
)
JOINED = '{"address": "10.83.0.1", "engine": "unix:///run/a/docker.sock"}'
PRINTED = {"load": LOADED, "bake": BAKED, "host": JOINED}


class Recorder(mocks.Mocks):
    """Records what is declared, in order; ``previous`` is what the stack's last outputs were, ``after`` the names of
    what each resource waits for: what it was told to, and what it takes its inputs from."""

    def __init__(self, previous: dict[str, Any]) -> None:
        self.previous = previous
        self.resources: list[mocks.MockResourceArgs] = []
        self.after: dict[str, set[str]] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(args)
        stdout = PRINTED.get(args.name.rpartition("-")[2], f"sha256:{args.name}")
        made = {"digest": f"sha256:{args.name}", "stdout": stdout} | _of_azure(args)
        return f"{args.name}-id", made | dict(args.inputs)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        if args.token == "pulumi:pulumi:readStackOutputs":
            return {"name": args.args["name"], "outputs": self.previous, "secretOutputNames": []}, []
        return {"id": "host-network-id", "name": args.args.get("name")}, []

    def of_type(self, token: str) -> dict[str, dict[str, Any]]:
        """Inputs by resource name of every resource whose type ends in ``token``."""
        return {args.name: args.inputs for args in self.resources if args.typ.endswith(token)}


class Monitor(mocks.MockMonitor):
    """The SDK's own does not tell its mocks what waits for what."""

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        names = {urn.rpartition("::")[2] for urn in request.dependencies}
        self.mocks.after[request.name] = names  # type: ignore[attr-defined]
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def _of_azure(args: mocks.MockResourceArgs) -> dict[str, Any]:
    """What Azure answers beyond what it was asked for."""
    if not args.typ.startswith("azure-native:"):
        return {}
    named = next((args.inputs[key] for key in ("containerName", "accountName") if key in args.inputs), args.name)
    return {
        "name": named,
        "clientId": f"{args.name}-client",
        "principalId": f"{args.name}-principal",
        "primaryEndpoints": {"blob": f"https://{named}.blob.core.windows.net/"},
    }


Declare = Callable[..., tuple[Recorder, Any]]


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Declare a component under fresh mocks and wait for all of it: ``declare(build, previous={})``."""
    # Mocks have no callback server, which hooks need; the witness is proven on the real engine.
    monkeypatch.setattr("components.environment.Witness", lambda: None)

    def run(build: Callable[[], Any], previous: dict[str, Any] | None = None) -> tuple[Recorder, Any]:
        recorder = Recorder(previous or {})
        pulumi.runtime.set_mocks(
            recorder,
            project="stele",
            stack="dev",
            preview=False,
            monitor=Monitor(recorder),
        )
        resolved: list[Any] = []
        program = pulumi.runtime.test(  # type: ignore[no-untyped-call]
            lambda: pulumi.Output.all(**build().outputs).apply(resolved.append)
        )
        program()
        return recorder, resolved[0]

    return run
