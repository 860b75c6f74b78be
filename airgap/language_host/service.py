"""The calls of the engine, each a few lines: options in, work done elsewhere, answer out.

The engine starts this host twice for one update, and waits for it: what few calls need is imported by them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2 as messages
from pulumi.runtime.proto import language_pb2_grpc, plugin_pb2

from airgap.language_host import codes, packages
from airgap.language_host.program import ProgramRunner, ProgramSpec
from airgap.language_host.toolchain import Options, Toolchain, ToolchainError, parse_options

if TYPE_CHECKING:
    from airgap.language_host.plugin_run import PluginRunner

_Call = TypeVar("_Call", bound=Callable[..., Any])
Context = grpc.ServicerContext


def _say_why(call: _Call) -> _Call:
    """Turns a ToolchainError into a gRPC status that the engine shows as it is."""

    @wraps(call)
    def guarded(self: LanguageHost, request: Any, context: Context) -> Any:
        try:
            return call(self, request, context)
        except ToolchainError as error:
            return context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    return guarded  # type: ignore[return-value]


def _options(info: messages.ProgramInfo, *, is_plugin: bool = False) -> Options:
    return parse_options(info.root_directory, json_format.MessageToDict(info.options), is_plugin=is_plugin)


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Answers the engine. Code generation (`pulumi convert`, `package add`) is left to the official host."""

    def __init__(self, runner: ProgramRunner, engine_address: str) -> None:
        self.engine_address = engine_address
        self._runner = runner
        self._plugins: PluginRunner | None = None

    def stop(self) -> None:
        """Ends whatever this host started."""
        if self._plugins is not None:
            self._plugins.stop()
        self._runner.interrupt()

    def Handshake(
        self, request: messages.LanguageHandshakeRequest, context: Context
    ) -> messages.LanguageHandshakeResponse:
        self.engine_address = request.engine_address
        return messages.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        own = packages.installed(packages.search_path(Options.python(parse_options(".", {}))))
        version = next((d.version for d in own if d.name == "pulumi"), "0.0.0")
        return plugin_pb2.PluginInfo(version=version)

    @_say_why
    def GetRequiredPackages(
        self, request: messages.GetRequiredPackagesRequest, context: Context
    ) -> messages.GetRequiredPackagesResponse:
        found = packages.installed(packages.search_path(_options(request.info).python()))
        return messages.GetRequiredPackagesResponse(
            packages=[_package_dependency(p) for p in packages.required_plugins(found)]
        )

    @_say_why
    def GetProgramDependencies(
        self, request: messages.GetProgramDependenciesRequest, context: Context
    ) -> messages.GetProgramDependenciesResponse:
        found = packages.installed(packages.search_path(_options(request.info).python()))
        return messages.GetProgramDependenciesResponse(
            dependencies=[messages.DependencyInfo(name=d.name, version=d.version) for d in found]
        )

    @_say_why
    def Run(self, request: messages.RunRequest, context: Context) -> messages.RunResponse:
        if request.attach_debugger:
            return messages.RunResponse(error="--attach-debugger needs the official Python language host")
        options = _options(request.info)
        python = options.python()
        if options.typechecker:
            from airgap.language_host import dependencies

            failed = dependencies.typecheck(options, python, request.info.program_directory)
            if failed:
                return messages.RunResponse(error=failed)
        code = self._runner.run(python, self._program(request, options))
        if code == codes.REPORTED:
            return messages.RunResponse(bail=True)
        return messages.RunResponse(error=_exit_message(code))

    def _program(self, request: messages.RunRequest, options: Options) -> ProgramSpec:
        return ProgramSpec(
            directory=request.pwd or request.info.program_directory,
            entry_point=request.info.entry_point or ".",
            arguments=list(request.args),
            environment=options.environment(),
            settings={
                "project": request.project,
                "stack": request.stack,
                "monitor": request.monitor_address,
                "engine": self.engine_address,
                "parallel": request.parallel,
                "dry_run": request.dryRun,
                "organization": request.organization or None,
                "root_directory": request.info.root_directory,
            },
            config=dict(request.config),
            secret_keys=list(request.configSecretKeys),
        )

    @_say_why
    def RunPlugin(self, request: messages.RunPluginRequest, context: Context) -> Iterator[messages.RunPluginResponse]:
        from airgap.language_host.plugin_run import ANALYZER, PluginRunner

        if self._plugins is None:
            self._plugins = PluginRunner()
        options = _options(request.info, is_plugin=request.kind != ANALYZER)
        return self._plugins.run(request, options, context)

    @_say_why
    def InstallDependencies(
        self, request: messages.InstallDependenciesRequest, context: Context
    ) -> Iterator[messages.InstallDependenciesResponse]:
        from airgap.language_host import dependencies

        options = _options(request.info, is_plugin=request.is_plugin)
        return dependencies.install(options, request.info.program_directory, context)

    @_say_why
    def About(self, request: messages.AboutRequest, context: Context) -> messages.AboutResponse:
        options = _options(request.info)
        python = options.python()
        return messages.AboutResponse(
            executable=str(python),
            version=_python_version(python),
            metadata={"toolchain": str(options.toolchain), "languageHost": "stele airgap"},
        )

    def RuntimeOptionsPrompts(
        self, request: messages.RuntimeOptionsRequest, context: Context
    ) -> messages.RuntimeOptionsResponse:
        chosen = json_format.MessageToDict(request.info.options)
        if "toolchain" not in chosen:
            return messages.RuntimeOptionsResponse(
                prompts=[_prompt("toolchain", "The package manager of the program", [str(t) for t in Toolchain])]
            )
        if chosen["toolchain"] == Toolchain.PIP and "virtualenv" not in chosen:
            return messages.RuntimeOptionsResponse(
                prompts=[_prompt("virtualenv", "The virtual environment of the program", ["venv"])]
            )
        return messages.RuntimeOptionsResponse()

    def Template(self, request: messages.TemplateRequest, context: Context) -> messages.TemplateResponse:
        return messages.TemplateResponse()

    def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        self._runner.interrupt()
        return empty_pb2.Empty()


def _package_dependency(plugin: packages.Plugin) -> plugin_pb2.PackageDependency:
    return plugin_pb2.PackageDependency(
        name=plugin.name,
        kind="resource",
        version=plugin.version,
        server=plugin.server,
        parameterization=_parameterization(plugin.details.get("parameterization")),
    )


def _parameterization(details: dict[str, str] | None) -> plugin_pb2.PackageParameterization | None:
    # The value is base64 in JSON, which is what protobuf's own JSON format reads.
    return json_format.ParseDict(details, plugin_pb2.PackageParameterization()) if details else None


def _prompt(key: str, description: str, choices: list[str]) -> messages.RuntimeOptionPrompt:
    kind = messages.RuntimeOptionPrompt.RuntimeOptionType.STRING
    values = [
        messages.RuntimeOptionPrompt.RuntimeOptionValue(promptType=kind, stringValue=c, displayName=c) for c in choices
    ]
    return messages.RuntimeOptionPrompt(
        key=key, description=description, promptType=kind, choices=values, default=values[0]
    )


def _python_version(python: Path) -> str:
    if python.parent == Path(sys.executable).parent:
        return sys.version.split()[0]
    answer = subprocess.run([python, "--version"], check=True, capture_output=True, text=True).stdout
    return answer.removeprefix("Python ").strip()


def _exit_message(code: int) -> str:
    if code == 0:
        return ""
    if code < 0:
        return f"program was ended by signal {-code}"
    return f"program exited with non-zero exit code: {code}"
