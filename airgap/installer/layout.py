"""Where everything of one checkout lives."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path


class InstallError(Exception):
    """One line: what is wrong, and what mends it."""


@dataclass(frozen=True)
class Checkout:
    """The folders of the checkout at `root`. Nothing outside of them and the cache is written."""

    root: Path

    @property
    def stele(self) -> Path:
        return self.root / ".stele"

    @property
    def bin(self) -> Path:
        return self.stele / "bin"

    @property
    def pulumi_home(self) -> Path:
        return self.stele / "pulumi"

    @property
    def state(self) -> Path:
        return self.stele / "state"

    @property
    def passphrase(self) -> Path:
        return self.stele / "passphrase"

    @property
    def docker_config(self) -> Path:
        return self.stele / "docker"

    @property
    def receipt(self) -> Path:
        """What the last complete install was made from."""
        return self.stele / "toolchain.json"

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def airgap(self) -> Path:
        return self.root / "airgap"

    def module(self, name: str) -> Path:
        """A Go module with the tools of one kind."""
        return self.airgap / name


def this_checkout() -> Checkout:
    """The checkout that this file is part of."""
    return Checkout(Path(__file__).resolve().parents[2])


def cache_folder() -> Path:
    """Downloads and builds shared by all checkouts of a user; safe to delete at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "stele" / "tools"


def locked_version(checkout: Checkout, module: str, package: str) -> str:
    """The version of a Go package in a module's go.mod, such as v0.31.0."""
    text = (checkout.module(module) / "go.mod").read_text()
    match = re.search(rf"^\s*{re.escape(package)} (v\S+)", text, re.MULTILINE)
    if match is None:
        raise InstallError(f"airgap/{module}/go.mod does not name {package}; add it with `go get {package}`")
    return match.group(1)
