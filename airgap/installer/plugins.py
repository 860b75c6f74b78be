"""Places the tools and plugins of one checkout where the Pulumi CLI looks for them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

from airgap.installer.layout import Checkout

# The plugins that airgap/plugins offers where the official ones cannot be had.
OFFLINE = ("docker", "command", "azure-native")
# Our wrappers are shorter (bytes), every binary is longer.
WRAPPER_LIMIT = 4096


def required(checkout: Checkout) -> dict[str, str]:
    """The resource plugins (name -> version) that the packages in `.venv` call for."""
    found = {}
    for declaration in checkout.venv.glob("lib/python3*/site-packages/*/pulumi-plugin.json"):
        plugin = json.loads(declaration.read_text())
        if plugin.get("resource"):
            found[plugin["name"]] = plugin["version"]
    return dict(sorted(found.items()))


def place_tools(checkout: Checkout, tools: list[Path]) -> None:
    """Fills `.stele/bin`. The CLI looks for its language host next to itself, by its real path: so files, not links."""
    checkout.bin.mkdir(parents=True, exist_ok=True)
    for tool in tools:
        if tool.name == "buildx":
            link_or_copy(tool, checkout.docker_config / "cli-plugins" / "docker-buildx")
        elif not tool.name.startswith("pulumi-resource-docker"):
            link_or_copy(tool, checkout.bin / tool.name)


def place_language_host(checkout: Checkout) -> None:
    """The offline language host and the official way to dynamic providers, for this checkout's Python."""
    host = checkout.airgap / "language_host" / "__main__.py"
    # $PPID: who started it is only certain before Python is up.
    write_wrapper(checkout.bin / "pulumi-language-python", [checkout.python, host], ' --parent "$PPID"')
    write_wrapper(checkout.bin / "pulumi-resource-pulumi-python", [checkout.python, "-u", "-m", "pulumi.dynamic"])


def place_plugins(checkout: Checkout, tools: list[Path]) -> None:
    """The built docker-build plugin and the offline ones, in folders named as `pulumi plugin install` does."""
    built = {tool.name: tool for tool in tools}
    for name, version in required(checkout).items():
        binary = f"pulumi-resource-{name}"
        target = checkout.pulumi_home / "plugins" / f"resource-{name}-v{version}" / binary
        if binary in built:
            link_or_copy(built[binary], target)
        elif name in OFFLINE:
            start = checkout.airgap / "plugins" / "start.py"
            write_wrapper(target, [checkout.python, "-I", start, f"{name.replace('-', '_')}_plugin"])


def remove_plugins(checkout: Checkout) -> None:
    """Forgets the plugins of the other kind before a change from official to offline or back."""
    shutil.rmtree(checkout.pulumi_home / "plugins", ignore_errors=True)
    shutil.rmtree(checkout.bin, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the file system allows it. Replaces at once, also while `target` is running."""
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.link(source, part)
    except OSError:
        shutil.copy2(source, part)
    part.replace(target)


def write_wrapper(target: Path, command: list[str | Path], options: str = "") -> None:
    """A shell script that becomes `command`, with `options` in the shell's own language."""
    line = " ".join(shlex.quote(str(part)) for part in command)
    content = f'#!/bin/sh\nexec {line}{options} "$@"\n'
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    part.write_text(content)
    part.chmod(0o755)
    part.replace(target)
