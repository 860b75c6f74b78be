"""Builds the Go tools that a network without downloads still serves as modules."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from airgap.installer.layout import Checkout, InstallError, cache_folder, locked_version
from airgap.installer.progress import Ticker, locked, say

MINIMUM_GO = (1, 26)
_KEPT_BUILDS = 3


@dataclass(frozen=True)
class GoTool:
    """A command, where its version is stamped, and how the official build writes that version."""

    package: str
    locked_by: str
    version_variable: str
    prefix: str = "v"

    @property
    def name(self) -> str:
        return self.package.rsplit("/", 1)[1]


_DOCKER_BUILD = "github.com/pulumi/pulumi-docker-build"
MODULES: dict[str, tuple[GoTool, ...]] = {
    "cli": (
        GoTool(
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            "github.com/pulumi/pulumi/pkg/v3",
            "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
        ),
    ),
    "build": (
        GoTool(
            "github.com/moby/buildkit/cmd/buildkitd",
            "github.com/moby/buildkit",
            "github.com/moby/buildkit/version.Version",
        ),
        GoTool(
            "github.com/docker/buildx/cmd/buildx",
            "github.com/docker/buildx",
            "github.com/docker/buildx/version.Version",
        ),
        GoTool(
            f"{_DOCKER_BUILD}/provider/cmd/pulumi-resource-docker-build",
            _DOCKER_BUILD,
            f"{_DOCKER_BUILD}/provider.Version",
            prefix="",
        ),
        GoTool(
            "github.com/google/go-containerregistry/cmd/crane",
            "github.com/google/go-containerregistry",
            "github.com/google/go-containerregistry/cmd/crane/cmd.Version",
            prefix="",
        ),
    ),
    "storage": (GoTool("github.com/versity/versitygw/cmd/versitygw", "github.com/versity/versitygw", "main.Version"),),
}


def build_all(checkout: Checkout) -> list[Path]:
    """Every Go tool, from the cache or built now. Raises InstallError."""
    return [path for module, tools in MODULES.items() for path in build(checkout, module, tools)]


def build(checkout: Checkout, module: str, tools: tuple[GoTool, ...]) -> list[Path]:
    """The tools of one module, in a cache folder named by everything they are made from."""
    flags = _flags(checkout, module, tools)
    folder = cache_folder() / f"{module}-{_key(checkout, module, flags)}"
    if not folder.is_dir():
        with locked(folder.with_suffix(".lock"), f"airgap/{module}"):
            if not folder.is_dir():  # else the one we waited for has built it
                _build_into(folder, checkout.module(module), tools, flags)
                _forget_old_builds(module, folder)
    return [folder / tool.name for tool in tools]


def _flags(checkout: Checkout, module: str, tools: tuple[GoTool, ...]) -> list[str]:
    stamps = [
        f"-X {tool.version_variable}={tool.prefix}{locked_version(checkout, module, tool.locked_by).lstrip('v')}"
        for tool in tools
    ]
    return ["-trimpath", f"-ldflags=-s -w {' '.join(stamps)}"]


def _key(checkout: Checkout, module: str, flags: list[str]) -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((checkout.module(module) / name).read_bytes())
    digest.update("\0".join([*flags, os.uname().machine]).encode())
    return digest.hexdigest()[:16]


def _build_into(folder: Path, module: Path, tools: tuple[GoTool, ...], flags: list[str]) -> None:
    """Builds beside `folder` and renames: what is there is always whole."""
    go = _go()
    for leftover in folder.parent.glob(f"{folder.name}.part-*"):
        shutil.rmtree(leftover)  # of an install that was killed: we hold its lock
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        say(f"building {', '.join(t.name for t in tools)} from airgap/{module.name}: some minutes, once")
        _compile([go, "build", "-v", *flags, "-o", f"{part}/", *(t.package for t in tools)], module)
        part.chmod(0o755)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _compile(command: list[str], module: Path) -> None:
    # A user's GOFLAGS (-mod=mod) or workspace would change what the lock files say.
    environment = os.environ | {"GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    ticker = Ticker(f"airgap/{module.name}")
    packages, complaints = 0, []
    with subprocess.Popen(command, cwd=module, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("go: downloading"):
                ticker.tick("downloading modules")
            elif re.fullmatch(r"[\w./~-]+\n", line):
                packages += 1
                ticker.tick(f"{packages} packages compiled")
            else:
                complaints.append(line.rstrip())
    if process.returncode != 0:
        raise InstallError(
            f"go build in airgap/{module.name} failed with exit code {process.returncode}:\n  "
            + "\n  ".join(complaints[-15:])
        )


def _go() -> str:
    wanted = ".".join(map(str, MINIMUM_GO))
    go = shutil.which("go")
    if go is None:
        raise InstallError(f"go is not on PATH: install Go {wanted} or newer, or use STELE_TOOLCHAIN=official")
    version = subprocess.run([go, "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout
    match = re.match(r"go(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) < MINIMUM_GO:
        raise InstallError(f"{go} is {version.strip()}: install Go {wanted} or newer, or use STELE_TOOLCHAIN=official")
    return go


def _forget_old_builds(module: str, newest: Path) -> None:
    builds = [p for p in newest.parent.glob(f"{module}-*") if p.is_dir() and ".part-" not in p.name]
    for old in sorted(builds, key=lambda p: p.stat().st_mtime, reverse=True)[_KEPT_BUILDS:]:
        shutil.rmtree(old, ignore_errors=True)
