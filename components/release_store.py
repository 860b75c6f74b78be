"""Where published releases are kept, write-once. Today a folder; the seam is :class:`ReleaseStore`.

``python -m components.release_store publish FOLDER < content.json`` is what the factory's `up` runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from components.manifest import Manifest, canonical, digest_of, manifest_of
from components.settings import VERSION


class ReleaseError(Exception):
    """A release that cannot be published or read; its text is one line."""


class ReleaseStore(Protocol):
    """Write-once storage of releases."""

    def publish(self, content: dict[str, Any], provenance: dict[str, Any]) -> str:
        """Store a release and return its digest. The same content again is fine; other content is refused."""

    def read(self, product: str, version: str) -> Manifest:
        """The release of that version; an unknown version is refused with a list of those that exist."""

    def versions(self, product: str) -> list[str]:
        """Every published version, oldest number first."""


class FolderReleaseStore:
    """Releases as read-only files ``<folder>/<product>/<version>.json``."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).expanduser()

    def _path(self, product: str, version: str) -> Path:
        return self._folder / product / f"{version}.json"

    def publish(self, content: dict[str, Any], provenance: dict[str, Any]) -> str:
        path = self._path(content["product"], content["version"])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_once(path, canonical({"content": content, "provenance": provenance}))
        except FileExistsError:
            self._refuse_other_content(path, content)
        except OSError as error:
            raise ReleaseError(f"{path}: cannot publish: {error.strerror}; make room or mend the permissions") from None
        return digest_of(content)

    def _refuse_other_content(self, path: Path, content: dict[str, Any]) -> None:
        try:
            published = _load(path)["content"]
        except (KeyError, TypeError, ValueError) as error:
            raise ReleaseError(f"{path}: not a usable release manifest: {error}; restore it from a copy") from None
        if digest_of(published) == digest_of(content):
            return
        raise ReleaseError(
            f"release {content['version']} is already published with other content "
            f"({_difference(published, content)}); a published version never changes: "
            f"pulumi config set version <next version> -s release"
        )

    def read(self, product: str, version: str) -> Manifest:
        path = self._path(product, version)
        if not path.exists():
            known = ", ".join(self.versions(product)) or "none yet; pulumi up -s release publishes one"
            raise ReleaseError(f"stele:version: {version!r} is not published; published versions of {product}: {known}")
        try:
            return manifest_of(_load(path))
        except (KeyError, TypeError, ValueError) as error:
            raise ReleaseError(f"{path}: not a usable release manifest: {error}; restore it from a copy") from None

    def versions(self, product: str) -> list[str]:
        found = (path.stem for path in (self._folder / product).glob("*.json"))
        names = [name for name in found if VERSION.fullmatch(name)]  # notes beside them are nobody's release
        return sorted(names, key=lambda version: [int(part) for part in version.split(".")])


def _write_once(path: Path, text: bytes) -> None:
    """Create ``path`` whole or not at all; raises FileExistsError when it is there, also when two try at once."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".publish-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _difference(published: dict[str, Any], content: dict[str, Any]) -> str:
    """The names of what differs, most telling first: runtimes, otherwise the manifest's own keys."""
    before, after = published["runtimes"], content["runtimes"]
    runtimes = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if runtimes:
        return "differs in " + ", ".join(runtimes)
    return "differs in " + ", ".join(
        sorted(k for k in content.keys() | published.keys() if published.get(k) != content.get(k))
    )


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def provenance() -> dict[str, Any]:
    """What is recorded beside the content: git commit, whether the tree differed from it, time of publication."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "published": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(arguments: list[str]) -> int:
    """``publish FOLDER``: read a manifest's content on standard input, publish it, print its digest."""
    if len(arguments) != 2 or arguments[0] != "publish":
        print("usage: python -m components.release_store publish FOLDER < content.json", file=sys.stderr)
        return 2
    try:
        print(FolderReleaseStore(arguments[1]).publish(json.load(sys.stdin), provenance()))
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
