"""Where the parts of releases are put once and for all: a folder here, an account in account_place.py."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple, Protocol

from components.settings import VERSION

MANIFEST = "manifest.json"


class ReleaseError(Exception):
    """A release that cannot be published or read; its text is one line."""


class Part(NamedTuple):
    """One file of one release: its manifest, or one of its archives, such as ``vanilla.tar``."""

    product: str
    version: str
    name: str


class Place(Protocol):
    """Keeps parts of releases. What it has was put there first; nothing that is added later takes its place."""

    mend: str  # what to do about a part that is damaged there

    def where(self, part: Part) -> str:
        """How messages name that part."""

    def get(self, part: Part) -> bytes | None:
        """The part as it was first put there; None without one. Raises ReleaseError."""

    def add(self, part: Part, body: bytes) -> None:
        """Put a part there, whole or not at all. Nothing happens when there is one already. Raises ReleaseError."""

    def versions(self, product: str) -> set[str]:
        """The versions whose manifest is there. Raises ReleaseError."""


class Folder:
    """Read-only files ``<folder>/<product>/<version>.json``, with a release's archives beside its manifest."""

    mend = "restore it from a copy"

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).expanduser()

    def where(self, part: Part) -> str:
        return str(self._path(part))

    def get(self, part: Part) -> bytes | None:
        path = self._path(part)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReleaseError(f"{path}: cannot be read: {error.strerror}; mend the permissions") from None

    def add(self, part: Part, body: bytes) -> None:
        path = self._path(part)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_once(path, body)
        except FileExistsError:
            return
        except OSError as error:
            raise ReleaseError(f"{path}: cannot publish: {error.strerror}; make room or mend the permissions") from None

    def versions(self, product: str) -> set[str]:
        found = (path.stem for path in (self._folder / product).glob("*.json"))
        return {name for name in found if VERSION.fullmatch(name)}  # notes beside them are nobody's release

    def _path(self, part: Part) -> Path:
        return self._folder / part.product / f"{part.version}.{'json' if part.name == MANIFEST else part.name}"


def _write_once(path: Path, body: bytes) -> None:
    """Create ``path`` whole or not at all; raises FileExistsError when it is there, also when two try at once."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".publish-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
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
