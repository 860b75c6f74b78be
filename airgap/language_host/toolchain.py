"""The `runtime.options` of Pulumi.yaml: which Python runs the program, and in which environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class ToolchainError(Exception):
    """One line for the user: the option, its value, what to do."""


class Toolchain(StrEnum):
    """The package managers that Pulumi knows for Python."""

    PIP = "pip"
    UV = "uv"
    POETRY = "poetry"


@dataclass(frozen=True)
class Options:
    """The validated options of one program or plugin. `root` is the folder that relative paths start from."""

    root: Path
    toolchain: Toolchain = Toolchain.PIP
    virtualenv: str = ""
    typechecker: str = ""

    @property
    def environment_folder(self) -> Path | None:
        """The virtual environment, absolute; None means the Python on PATH."""
        if self.toolchain is Toolchain.POETRY:
            return Path(_ask(["poetry", "env", "info", "--path"], self.root))
        name = self.virtualenv or (".venv" if self.toolchain is Toolchain.UV else "")
        return self.root / name if name else None

    def python(self) -> Path:
        """The interpreter. Raises ToolchainError when there is none."""
        folder = self.environment_folder
        if folder is None:
            return _python_on_path()
        python = folder / "bin" / "python"
        if not python.is_file():
            raise ToolchainError(
                f"option virtualenv: {folder} is not a virtual environment; create it with `pulumi install`"
            )
        return python

    def environment(self) -> dict[str, str]:
        """This process's environment with the virtual environment activated."""
        variables = dict(os.environ)
        folder = self.environment_folder
        if folder is not None:
            variables["VIRTUAL_ENV"] = str(folder)
            variables["PATH"] = f"{folder / 'bin'}{os.pathsep}{variables.get('PATH', '')}"
            variables.pop("PYTHONHOME", None)
        return variables


def parse_options(root: str, options: Mapping[str, Any], *, is_plugin: bool = False) -> Options:
    """Validates the options of Pulumi.yaml, PulumiPolicy.yaml or PulumiPlugin.yaml. Raises ToolchainError."""
    for key in ("toolchain", "virtualenv", "typechecker"):
        if not isinstance(options.get(key, ""), str):
            raise ToolchainError(f"option {key}: {options[key]!r} is not a string")
    name = options.get("toolchain", Toolchain.PIP)
    if name not in set(Toolchain):
        raise ToolchainError(f"option toolchain: {name!r} is not one of {', '.join(Toolchain)}")
    typechecker = options.get("typechecker", "")
    if typechecker not in ("", "mypy", "pyright"):
        raise ToolchainError(f"option typechecker: {typechecker!r} is not one of mypy, pyright")
    virtualenv = options.get("virtualenv", "")
    if is_plugin and name == Toolchain.PIP and not virtualenv:
        virtualenv = "venv"  # a plugin never runs in the caller's environment
    return Options(Path(root).absolute(), Toolchain(name), virtualenv, typechecker)


def _python_on_path() -> Path:
    wanted = [os.environ["PULUMI_PYTHON_CMD"]] if os.environ.get("PULUMI_PYTHON_CMD") else ["python3", "python"]
    for name in wanted:
        if found := shutil.which(name):
            return Path(found)
    raise ToolchainError(f"no Python found: {' or '.join(wanted)} is not on PATH")


def _ask(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolchainError(f"option toolchain: `{' '.join(command)}` failed in {folder}: {error}") from error
    return done.stdout.strip()
