"""`pulumi install` and the `typechecker` option: commands run in the program's folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
from pulumi.runtime.proto import language_pb2 as messages

from airgap.language_host.toolchain import Options, Toolchain


def install(
    options: Options, folder: str, context: grpc.ServicerContext
) -> Iterator[messages.InstallDependenciesResponse]:
    """Runs the package manager and streams what it prints. Aborts the call when a command fails."""
    for command in _commands(options, Path(folder)):
        yield messages.InstallDependenciesResponse(stdout=f"$ {' '.join(command)}\n".encode())
        try:
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"option toolchain: cannot run {command[0]}: {error}")
        assert process.stdout is not None
        for line in process.stdout:
            yield messages.InstallDependenciesResponse(stdout=line)
        if process.wait() != 0:
            context.abort(grpc.StatusCode.UNKNOWN, f"`{' '.join(command)}` failed in {folder}")


def _commands(options: Options, folder: Path) -> list[list[str]]:
    if options.toolchain is Toolchain.UV:
        return [["uv", "sync"]]
    if options.toolchain is Toolchain.POETRY:
        return [["poetry", "install", "--no-ansi"]]
    environment = options.environment_folder
    if environment is None:
        return []  # the Python on PATH belongs to somebody else: install nothing into it
    python = str(environment / "bin" / "python")
    commands = [] if Path(python).is_file() else [[sys.executable, "-m", "venv", str(environment)]]
    if (folder / "requirements.txt").is_file():
        commands.append([python, "-m", "pip", "install", "-r", "requirements.txt"])
    elif (folder / "pyproject.toml").is_file():
        commands.append([python, "-m", "pip", "install", "."])
    return commands


def typecheck(options: Options, python: Path, folder: str) -> str:
    """Runs the type checker over the program; returns what it found, or nothing."""
    command = [str(python), "-m", options.typechecker]
    environment = options.environment_folder
    if options.typechecker == "mypy" and environment is not None and environment.is_relative_to(folder):
        command += ["--exclude", str(environment.relative_to(folder))]
    done = subprocess.run([*command, folder], cwd=folder, capture_output=True, text=True, env=options.environment())
    return f"{options.typechecker} failed:\n{done.stdout}{done.stderr}" if done.returncode else ""
