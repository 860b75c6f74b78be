"""Runs plugins that are written in Python: policy packs, and providers with a PulumiPlugin.yaml."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import tomllib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

import grpc
from pulumi.runtime.proto import language_pb2 as messages

from airgap.language_host.toolchain import Options, ToolchainError

if TYPE_CHECKING:
    from pulumi.runtime.proto import analyzer_pb2

ANALYZER = "analyzer"
_GRACE_SECONDS = 5.0
_Output = messages.RunPluginResponse


class PluginRunner:
    """The plugins this host runs; each lives as long as the engine's call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()

    def run(
        self, request: messages.RunPluginRequest, options: Options, context: grpc.ServicerContext
    ) -> Iterator[_Output]:
        """Starts the plugin and streams what it prints; the first line is its port, the last answer its exit code."""
        outputs: queue.SimpleQueue[_Output | None] = queue.SimpleQueue()
        environment = options.environment() | dict(v.split("=", 1) for v in request.env if "=" in v)
        command = [str(options.python()), *plugin_arguments(request, options)]
        if request.kind == ANALYZER:
            yield from self._run_policy(request, command, environment, outputs, context)
            return
        process = self._start(command, request.pwd, environment, context)
        for stream, wrap in ((process.stdout, _on_stdout), (process.stderr, _on_stderr)):
            assert stream is not None
            _pump(stream, wrap, outputs)
        yield from self._drain(process, outputs)

    def stop(self) -> None:
        """Ends every plugin."""
        with self._lock:
            processes = list(self._processes)
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def _run_policy(
        self,
        request: messages.RunPluginRequest,
        command: list[str],
        environment: dict[str, str],
        outputs: queue.SimpleQueue[_Output | None],
        context: grpc.ServicerContext,
    ) -> Iterator[_Output]:
        """A policy pack learns its stack from the environment, which the engine only sends in a call to it.

        So a proxy takes the engine's calls, and the pack starts with the first of them.
        """
        from airgap.language_host.policy_proxy import PolicyProxy

        proxy = PolicyProxy()
        context.add_callback(proxy.stop)
        yield _on_stdout(f"{proxy.port}\n".encode())
        environment |= _stack_variables(proxy.configuration())
        process = self._start(command, request.info.program_directory, environment, context)
        assert process.stdout is not None
        assert process.stderr is not None
        _pump(process.stderr, _on_stderr, outputs)
        port = process.stdout.readline().strip()
        _pump(process.stdout, _on_stdout, outputs)
        if port.isdigit():
            proxy.attach(int(port))
            yield from self._drain(process, outputs)
        else:
            # The engine hangs up at the refusal, and at the exit code; what it has not printed by then is lost. So all
            # the pack said comes first, and the refusal itself says why.
            yield _on_stdout(port + b"\n")
            reason = b""
            for output in self._drain(process, outputs):
                reason = output.stderr.strip() or reason
                if output.WhichOneof("output") == "exitcode":
                    why = reason.decode(errors="replace") or f"exit code {output.exitcode}"
                    proxy.refuse(f"the policy pack in {request.info.program_directory} did not start: {why}")
                yield output
        proxy.stop()

    def _start(
        self, command: list[str], folder: str, environment: dict[str, str], context: grpc.ServicerContext
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            cwd=folder or None,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with self._lock:
            self._processes.add(process)
        if not context.add_callback(process.terminate):  # the engine has hung up already
            process.terminate()
        return process

    def _drain(self, process: subprocess.Popen[bytes], outputs: queue.SimpleQueue[_Output | None]) -> Iterator[_Output]:
        for _stream in ("stdout", "stderr"):
            while (output := outputs.get()) is not None:
                yield output
        code = process.wait()
        with self._lock:
            self._processes.discard(process)
        yield _Output(exitcode=code)


def plugin_arguments(request: messages.RunPluginRequest, options: Options) -> list[str]:
    """What to pass to Python, by the kind of plugin. Raises ToolchainError when there is nothing to run."""
    folder = request.info.program_directory
    arguments = list(request.args)
    if request.kind == ANALYZER:
        return ["-u", "-m", "pulumi.policy", *arguments, folder]
    if (options.root / "__main__.py").is_file():
        return ["-u", folder, *arguments]
    project = options.root / "pyproject.toml"
    if not project.is_file():
        raise ToolchainError(f"plugin {folder}: neither __main__.py nor pyproject.toml found")
    name = tomllib.loads(project.read_text()).get("project", {}).get("name")
    if not name:
        raise ToolchainError(f"plugin {folder}: pyproject.toml has no project.name")
    return ["-u", "-m", "pulumi.run.plugin", name, *arguments]


def _stack_variables(stack: analyzer_pb2.AnalyzerStackConfigureRequest | None) -> dict[str, str]:
    if stack is None:
        return {}
    variables = {
        "PULUMI_ORGANIZATION": stack.organization,
        "PULUMI_PROJECT": stack.project,
        "PULUMI_STACK": stack.stack,
        "PULUMI_DRY_RUN": "true" if stack.dry_run else "false",
        "PULUMI_CONFIG": json.dumps(dict(stack.config)),
    }
    return {name: value for name, value in variables.items() if value}


def _pump(stream: IO[bytes], wrap: Callable[[bytes], _Output], outputs: queue.SimpleQueue[_Output | None]) -> None:
    def copy() -> None:
        for line in stream:
            outputs.put(wrap(line))
        outputs.put(None)

    threading.Thread(target=copy, daemon=True).start()


def _on_stdout(data: bytes) -> _Output:
    return _Output(stdout=data)


def _on_stderr(data: bytes) -> _Output:
    return _Output(stderr=data)
