"""What is installed in a Python environment, and which engine plugins it calls for."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.language_host.toolchain import ToolchainError

_WITHOUT_PLUGIN = {"pulumi-policy", "pulumi-esc-sdk"}
_PRE_RELEASE = {"a": "alpha", "b": "beta", "rc": "rc"}
_VERSION = re.compile(r"(\d+(?:\.\d+)*)(?:(a|b|rc)(\d+))?(\.post\d+)?(\.dev\d+)?")


@dataclass(frozen=True)
class Distribution:
    """An installed package: its normalized name, its version, the folder it is installed in."""

    name: str
    version: str
    site: Path


@dataclass(frozen=True)
class Plugin:
    """A resource plugin that the engine must have. `details` is the parsed pulumi-plugin.json."""

    name: str
    version: str
    server: str
    details: dict[str, Any]


def search_path(python: Path) -> list[Path]:
    """The folders in which `python` looks for packages. Raises ToolchainError when it does not run."""
    sites = sorted(python.parent.parent.glob("lib/python3*/site-packages"))
    if (python.parent.parent / "pyvenv.cfg").is_file() and sites:
        return sites
    script = "import json, sys; print(json.dumps(sys.path))"
    try:
        answer = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolchainError(f"{python} does not run: {error}") from error
    return [Path(entry) for entry in json.loads(answer.stdout) if entry]


def installed(folders: Iterable[Path]) -> list[Distribution]:
    """Every distribution in `folders`, by name; the first folder wins, as it does for an import."""
    found: dict[str, Distribution] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        for entry in folder.glob("*.dist-info"):
            name, _, version = entry.name.removesuffix(".dist-info").partition("-")
            normalized = re.sub(r"[-_.]+", "-", name).lower()
            found.setdefault(normalized, Distribution(normalized, version, folder))
    return sorted(found.values(), key=lambda d: d.name)


def required_plugins(distributions: Iterable[Distribution]) -> Iterator[Plugin]:
    """The plugins that these packages declare, or imply by being called pulumi-*."""
    for distribution in distributions:
        declaration = distribution.site / distribution.name.replace("-", "_") / "pulumi-plugin.json"
        details: dict[str, Any] | None = None
        if declaration.is_file():
            details = json.loads(declaration.read_text())
        elif not distribution.name.startswith("pulumi-") or distribution.name in _WITHOUT_PLUGIN:
            continue
        if details is not None and not details.get("resource", False):
            continue
        details = details or {}
        version = details.get("version") or plugin_version(distribution.version)
        if version is None:
            continue
        yield Plugin(
            name=details.get("name") or distribution.name.removeprefix("pulumi-"),
            version=version if version.startswith("v") else f"v{version}",
            server=details.get("server", ""),
            details=details,
        )


def plugin_version(version: str) -> str | None:
    """The semantic version for a Python (PEP 440) one, e.g. 1.2rc4 -> 1.2.0-rc.4; None when there is none."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return None
    numbers, stage, stage_number, post, dev = match.groups()
    result = ".".join([*numbers.split("."), "0", "0"][: max(3, numbers.count(".") + 1)])
    if stage:
        result += f"-{_PRE_RELEASE[stage]}.{stage_number}"
    build = (post or "").lstrip(".") + (dev or "").lstrip(".")
    return f"{result}+{build}" if build else result
