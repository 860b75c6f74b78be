"""Lock files: the exact packages of a base image, `name=version sha256`, one a line, sorted by name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from apt import Archive, Package

RUNTIMES = Path(__file__).resolve().parent.parent
CHECKOUT = RUNTIMES.parent
HOST = "host"  # the family of hosts: they come from the same packages, but no container is made of them


class LockError(Exception):
    """A lock is missing, unreadable, or names a package that the mirror no longer serves."""


def families() -> list[str]:
    """Every folder of runtimes/ that asks for a base image, and the hosts."""
    return [*sorted(path.parent.name for path in RUNTIMES.glob("*/packages")), HOST]


def wanted(family: str) -> list[str]:
    """The top-level packages a family asks for. Raises LockError for an unknown family."""
    path = folder(family) / "packages"
    if not path.is_file():
        raise LockError(f"family '{family}' is unknown: choose one of {', '.join(families())}")
    return [name for line in path.read_text().splitlines() for name in line.split("#")[0].split()]


def folder(family: str) -> Path:
    """Where a family's packages are named."""
    return CHECKOUT / "packer" if family == HOST else RUNTIMES / family


def lock_path(family: str) -> Path:
    """The committed lock of a family."""
    return folder(family) / "packages.lock"


def read(path: Path) -> list[Package]:
    """The packages of a lock file. Raises LockError with the line that cannot be read."""
    packages = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line and not line.startswith("#"):
            try:
                (name, version), checksum = line.split()[0].split("="), line.split()[1]
            except (ValueError, IndexError):
                raise LockError(f"{path}:{number}: '{line}' is not 'name=version sha256'") from None
            packages.append(Package(name, version, checksum))
    return packages


def write(path: Path, packages: Iterable[Package], remark: str) -> None:
    """Writes a lock file, with `remark` as its second line."""
    lines = ["# Exact packages of a base image. Written by runtimes/base/lock; not edited by hand.", f"# {remark}"]
    lines += [f"{package.name}={package.version} {package.sha256}" for package in packages]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def missing(packages: Iterable[Package], archive: Archive) -> list[Package]:
    """The locked packages that the mirror does not serve (any more) with the locked content."""
    return [p for p in packages if archive.served.get((p.name, p.version)) != p]


def usable(family: str, archive: Archive) -> tuple[Path, str | None]:
    """The lock to install for a family, and a notice when it is not the committed one.

    A mirror serves current versions only. When a locked one has vanished, the lock is refreshed in the build folder
    (never in the checkout), unless LOCKED=1 asks for an error. A refreshed lock is kept, so that the same machine makes
    the same image again.
    """
    committed = lock_path(family)
    if not committed.is_file():
        raise LockError(f"{committed.relative_to(CHECKOUT)} is missing: run `make lock`")
    packages = read(committed)
    gone = missing(packages, archive)
    if not gone:
        return committed, None
    first = gone[0]
    served = ", ".join(archive.versions(first.name)) or "none"
    found = f"{family}: {first.name} is locked at {first.version}, the mirror serves {served}"
    found += f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
    if os.environ.get("LOCKED") == "1":
        raise LockError(f"{found}: run `make lock`, or build without LOCKED=1")
    refreshed = _build_folder() / f"{family}-{_short_hash(committed)}.lock"
    if not refreshed.is_file() or missing(read(refreshed), archive):
        write(
            refreshed,
            archive.resolve(wanted(family)),
            "Refreshed, because the mirror no longer serves the committed one.",
        )
    return refreshed, f"{found}; using a refreshed lock, {refreshed}. `make lock` makes it permanent."


def _build_folder() -> Path:
    return Path(os.environ.get("STELE_BUILD_DIR") or CHECKOUT / ".stele" / "build") / "locks"


def _short_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]
