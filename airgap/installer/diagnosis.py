"""What `make doctor` says about the toolchain: one line a part, with what mends it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airgap.installer import debian, plugins, venv
from airgap.installer.layout import Checkout, InstallError, locked_version
from airgap.installer.main import Choice, read_receipt

_MEND = "run `airgap/install`"
_SECONDS = 10.0


@dataclass(frozen=True)
class Finding:
    """One part: its version, where it is from, and what is wrong with it ("" for nothing)."""

    part: str
    version: str = ""
    origin: str = ""
    problem: str = ""
    mend: str = _MEND

    def __str__(self) -> str:
        line = f"{'problem' if self.problem else 'ok':8} {self.part:22} {self.version:12} {self.origin}"
        return f"{line.rstrip()}: {self.problem}; {self.mend}" if self.problem else line.rstrip()


def examine(checkout: Checkout) -> Iterator[Finding]:
    """Every part of the toolchain."""
    source = read_receipt(checkout).get("source", "")
    yield _python(checkout)
    yield Finding("toolchain", "", source, "" if source else "not installed completely")
    yield from _tools(checkout, source)
    yield from _plugins(checkout, source)
    yield _passphrase(checkout)
    for package in debian.missing(checkout, "run"):
        yield Finding(package, problem="Debian package is missing", mend=f"`apt-get install {package}` as root")


def _python(checkout: Checkout) -> Finding:
    if not checkout.python.exists():
        return Finding("python (.venv)", problem=f"{checkout.venv} does not exist")
    version = _first_line([str(checkout.python), "--version"]).removeprefix("Python ")
    problem = "" if venv.is_current(checkout, "run") else "packages differ from requirements.lock"
    return Finding("python (.venv)", version, problem=problem)


def _tools(checkout: Checkout, source: str) -> Iterator[Finding]:
    origin = "official" if source == Choice.OFFICIAL else "built from Go modules"
    pulumi = "github.com/pulumi/pulumi/pkg/v3"
    yield _tool("pulumi", checkout.bin / "pulumi", "version", locked_version(checkout, "cli", pulumi), origin)
    host = "official" if source == Choice.OFFICIAL else "offline (airgap/language_host)"
    yield _file("language host python", checkout.bin / "pulumi-language-python", host)
    for name, command, module, package in (
        ("buildkitd", "--version", "build", "github.com/moby/buildkit"),
        ("crane", "version", "build", "github.com/google/go-containerregistry"),
        ("versitygw", "--version", "storage", "github.com/versity/versitygw"),
    ):
        yield _tool(name, checkout.bin / name, command, locked_version(checkout, module, package), origin)
    buildx = checkout.docker_config / "cli-plugins" / "docker-buildx"
    yield _tool("buildx", buildx, "version", locked_version(checkout, "build", "github.com/docker/buildx"), origin)


def _tool(name: str, path: Path, argument: str, wanted: str, origin: str) -> Finding:
    if not path.exists():
        return Finding(name, problem=f"{path} does not exist")
    try:
        answer = _first_line([str(path), argument])
    except InstallError as error:
        return Finding(name, origin=origin, problem=str(error), mend=f"remove {path} and {_MEND}")
    problem = "" if wanted.lstrip("v") in answer else f"says {answer!r}, locked is {wanted}"
    return Finding(name, wanted.lstrip("v"), origin, problem)


def _plugins(checkout: Checkout, source: str) -> Iterator[Finding]:
    for name, version in plugins.required(checkout).items():
        path = checkout.pulumi_home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"
        if source == Choice.OFFICIAL:
            origin = "official"
        else:
            origin = "offline (airgap/plugins)" if name in plugins.OFFLINE else "built from Go modules"
        yield _file(f"plugin {name}", path, origin, version)


def _file(part: str, path: Path, origin: str, version: str = "") -> Finding:
    missing = [p for p in (path, *_targets(path)) if not p.exists()]
    return Finding(part, version, origin, f"{missing[0]} does not exist" if missing else "")


def _targets(wrapper: Path) -> list[Path]:
    """The files that one of our shell wrappers calls."""
    if not wrapper.exists() or wrapper.stat().st_size > plugins.WRAPPER_LIMIT:
        return []
    return [Path(word) for word in shlex.split(wrapper.read_text(), comments=True) if word.startswith("/")]


def _passphrase(checkout: Checkout) -> Finding:
    if not checkout.passphrase.exists():
        return Finding("passphrase", problem=f"{checkout.passphrase} does not exist")
    mode = checkout.passphrase.stat().st_mode & 0o777
    problem = f"others can read {checkout.passphrase} (mode {mode:o})" if mode & 0o077 else ""
    return Finding("passphrase", problem=problem, mend=f"chmod 600 {checkout.passphrase}")


def _first_line(command: list[str]) -> str:
    """What a command says. Raises InstallError when it does not run."""
    if shutil.which(command[0]) is None:
        raise InstallError(f"{command[0]} cannot be executed")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"`{' '.join(command)}` failed: {error}") from error
    return (done.stdout.strip() or done.stderr.strip()).partition("\n")[0]
