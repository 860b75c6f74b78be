"""What reached the registry: counted from its own storage, not from what a client says it sent."""

from __future__ import annotations

from pathlib import Path

from bench.lab.ground import CHECKOUT


def storage() -> Path:
    """The folder of the local platform's registry."""
    found = list((CHECKOUT / ".stele" / "data" / "registry").rglob("v2/blobs"))
    return found[0].parent


class Pushes:
    """What was pushed since this was made."""

    def __init__(self) -> None:
        self._storage = storage()
        self._blobs = self._list_blobs()
        self._revisions = self._list_revisions()

    def _list_blobs(self) -> dict[str, int]:
        return {path.parent.name: path.stat().st_size for path in self._storage.glob("blobs/sha256/*/*/data")}

    def _list_revisions(self) -> dict[Path, int]:
        """Manifests by repository, with the time they were last pushed."""
        links = self._storage.glob("repositories/**/_manifests/revisions/sha256/*/link")
        return {path: path.stat().st_mtime_ns for path in links}

    def size(self) -> int:
        """Bytes of blobs that were not there before: layers, configurations and manifests."""
        return sum(size for digest, size in self._list_blobs().items() if digest not in self._blobs)

    def count(self) -> int:
        """Manifests that were pushed, again or for the first time."""
        return sum(self._revisions.get(path) != when for path, when in self._list_revisions().items())
