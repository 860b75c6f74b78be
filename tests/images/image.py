"""Images as the registry holds them: configuration, and every file of every layer as far as inspections ask.

Layers are read one by one because what an upper layer deletes or covers is still delivered.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from bench.lab import images

_KEPT = re.compile(r"etc/|opt/stele/(?!lib/)|var/lib/dpkg/status$")
# With a body: programs hold the bare marker as text.
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[\w+/=:, -]{16}")
_WHITEOUT = ".wh."


@dataclass(frozen=True)
class Entry:
    """One file, folder or link of a layer; ``path`` has no leading slash. ``mtime`` is in seconds since 1970.

    ``marks`` says what its content was found to hold; ``text`` is kept of configuration only.
    """

    path: str
    kind: str
    mode: int
    owner: int
    group: int
    mtime: float
    size: int
    capabilities: bool
    marks: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"/{self.path} ({self.kind}, {self.mode:04o}, {self.owner}:{self.group})"


@dataclass(frozen=True)
class Layer:
    """One layer: digest, compressed size in bytes, entries in order."""

    digest: str
    size: int
    entries: tuple[Entry, ...]

    def files(self) -> list[Entry]:
        """Whatever is not a folder: folders come along with what is in them."""
        return [entry for entry in self.entries if entry.kind != "folder"]


@dataclass(frozen=True)
class Image:
    """One image: ``config`` is the whole configuration document, layers come lowest first."""

    reference: str
    config: dict[str, Any]
    layers: tuple[Layer, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """What a container of it starts with."""
        settings: dict[str, Any] = self.config["config"]
        return settings

    @property
    def family(self) -> str:
        """The family its label names."""
        return str(self.settings["Labels"]["stele.family"])

    def everything(self) -> Iterator[Entry]:
        """Every entry of every layer, covered ones too."""
        for layer in self.layers:
            yield from layer.entries

    def tree(self) -> dict[str, Entry]:
        """By path, what a container sees."""
        seen: dict[str, Entry] = {}
        for layer in self.layers:
            for gone in [entry.path for entry in layer.entries if _name(entry).startswith(_WHITEOUT)]:
                _delete(seen, gone)
            seen |= {entry.path: entry for entry in layer.entries if not _name(entry).startswith(_WHITEOUT)}
        return seen


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]


def _delete(seen: dict[str, Entry], whiteout: str) -> None:
    folder, _, name = whiteout.rpartition("/")
    opaque = name == ".wh..wh..opq"
    target = folder if opaque else f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
    for path in [path for path in seen if path.startswith(f"{target}/") or (path == target and not opaque)]:
        del seen[path]


@dataclass
class Reader:
    """Reads images, each layer once. ``needles`` are texts to look for in the content of every file."""

    needles: tuple[str, ...]
    _layers: dict[str, Layer] = field(default_factory=dict)

    def read(self, reference: str) -> Image:
        """The image ``registry/repository@digest`` or ``registry/repository:tag``."""
        manifest = images.manifest(reference)
        for layer in manifest["layers"]:
            if layer["digest"] not in self._layers:
                with _blob(reference, layer["digest"]) as content:
                    entries = tuple(self._entries(content))
                self._layers[layer["digest"]] = Layer(layer["digest"], layer["size"], entries)
        with _blob(reference, manifest["config"]["digest"]) as content:
            config = json.load(content)
        return Image(reference, config, tuple(self._layers[layer["digest"]] for layer in manifest["layers"]))

    def _entries(self, compressed: BinaryIO) -> Iterator[Entry]:
        with tarfile.open(fileobj=gzip.GzipFile(fileobj=compressed), mode="r|") as archive:
            for member in archive:
                path = member.name.removeprefix("./").rstrip("/")
                if path not in ("", "."):
                    stream = archive.extractfile(member) if member.isfile() else None
                    yield self._entry(member, path, stream.read() if stream else b"")

    def _entry(self, member: tarfile.TarInfo, path: str, content: bytes) -> Entry:
        return Entry(
            path=path,
            kind=_kind(member),
            mode=member.mode,
            owner=member.uid,
            group=member.gid,
            mtime=member.mtime,
            size=member.size,
            capabilities=any("security.capability" in header for header in member.pax_headers),
            marks=tuple(self._marks(content)),
            text=content.decode(errors="replace") if _KEPT.match(path) else "",
        )

    def _marks(self, content: bytes) -> Iterator[str]:
        # Libraries for cryptography test themselves with keys that everybody knows.
        if not content.startswith(b"\x7fELF") and _PRIVATE_KEY.search(content):
            yield "a private key"
        yield from (f"'{needle}'" for needle in self.needles if needle.encode() in content)


def _kind(member: tarfile.TarInfo) -> str:
    if member.isdir():
        return "folder"
    if member.issym():
        return "link"
    return "device" if member.isdev() else "file"


def _blob(reference: str, digest: str) -> Any:
    registry, _, repository = reference.partition("@")[0].partition("/")
    if "@" not in reference:
        repository = repository.rpartition(":")[0]
    return urllib.request.urlopen(f"http://{registry}/v2/{repository}/blobs/{digest}", timeout=60)
