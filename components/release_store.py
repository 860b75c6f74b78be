"""Published releases, write-once: in the vendor's WORM storage with a folder as its cache, or in a folder alone.

``python -m components.release_store`` is what `pulumi up` runs to publish and to install (release_commands.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.account_place import AccountPlace, place_of
from components.manifest import ARCHIVES, Manifest, canonical, digest_of, manifest_of, sha256
from components.places import MANIFEST, Folder, Part, Place, ReleaseError

if TYPE_CHECKING:
    from components.storage_reference import Account

__all__ = ["FolderReleaseStore", "ReleaseError", "ReleaseStore", "store_of"]


def _no_archive(name: str) -> bytes:
    raise ReleaseError(f"{name}.tar: the manifest names it, but there is none")


class ReleaseStore:
    """Write-once storage of releases in ``places``, nearest first: the last one decides, those before are its cache."""

    def __init__(self, *places: Place) -> None:
        self._places = places

    def publish(
        self,
        content: Mapping[str, Any],
        provenance: Mapping[str, Any],
        archive: Callable[[str], bytes] = _no_archive,
    ) -> str:
        """Store a release and return its digest. The same content again is fine; other content is refused.

        ``archive`` gives the archives that the content names. The manifest comes last: who is stopped before has
        published nothing, and publishing again completes it. Raises ReleaseError.
        """
        part = Part(content["product"], content["version"], MANIFEST)
        document = {"content": content, "provenance": provenance, "digest": digest_of(content)}
        for place in self._places:  # before anything is written
            self._refuse_other(place, part, place.get(part), content)
        for place in reversed(self._places):
            for name in ARCHIVES:
                if name in content:
                    self._keep_archive(place, name, content, archive)
            self._refuse_other(place, part, self._keep(place, part, lambda: canonical(document)), content)
        return digest_of(content)

    def read(self, product: str, version: str) -> Manifest:
        """The release of that version; an unknown version is refused with a list of those that exist."""
        return manifest_of(self.document(product, version))

    def document(self, product: str, version: str) -> dict[str, Any]:
        """A release's manifest as it is stored. Raises ReleaseError."""
        part = Part(product, version, MANIFEST)
        for number, place in enumerate(self._places):
            body = place.get(part)
            if body is not None:
                document = self._checked(place, part, body)
                for nearer in self._places[:number]:
                    nearer.add(part, body)
                return document
        known = ", ".join(self.versions(product)) or "none yet; pulumi up -s release publishes one"
        raise ReleaseError(f"stele:version: {version!r} is not published; published versions of {product}: {known}")

    def archive(self, manifest: Manifest, name: str) -> bytes:
        """The tar of one of a release's archives. Raises ReleaseError."""
        part = Part(manifest.product, manifest.version, f"{name}.tar")
        for place in self._places:
            body = place.get(part)
            if body is not None:
                if sha256(body) != manifest.archives[name].digest:
                    raise ReleaseError(f"{place.where(part)}: is not what the manifest names; {self._mend(place)}")
                return body
        raise ReleaseError(f"{self._places[-1].where(part)}: missing; {self._places[-1].mend}")

    def versions(self, product: str) -> list[str]:
        """Every published version, oldest number first. Raises ReleaseError."""
        found = {version for place in self._places for version in place.versions(product)}
        return sorted(found, key=lambda version: [int(number) for number in version.split(".")])

    def _keep(self, place: Place, part: Part, body: Callable[[], bytes]) -> bytes:
        """Put a part where there is none; what is there afterwards, which may be somebody else's."""
        there = place.get(part)
        if there is None:
            place.add(part, body())
            there = place.get(part)
        if there is None:
            raise ReleaseError(f"{place.where(part)}: was written and is gone; {self._mend(place)}")
        return there

    def _keep_archive(
        self, place: Place, name: str, content: Mapping[str, Any], archive: Callable[[str], bytes]
    ) -> None:
        part = Part(content["product"], content["version"], f"{name}.tar")
        digest = content[name]["digest"]

        def checked() -> bytes:
            body = archive(name)
            if sha256(body) != digest:
                raise ReleaseError(f"{part.name}: is not what the manifest names: it changed meanwhile; publish again")
            return body

        if sha256(self._keep(place, part, checked)) != digest:
            raise _other(place, part, name)

    def _refuse_other(self, place: Place, part: Part, body: bytes | None, content: Mapping[str, Any]) -> None:
        if body is None:
            return
        published = self._checked(place, part, body)["content"]
        if digest_of(published) != digest_of(content):
            raise _other(place, part, _difference(published, content))

    def _checked(self, place: Place, part: Part, body: bytes) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(body)
            found = manifest_of(document)
            if (found.product, found.version) != (part.product, part.version):
                raise ValueError(f"it is release {found.version} of {found.product}")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ReleaseError(
                f"{place.where(part)}: not a usable release manifest: {error}; {self._mend(place)}"
            ) from None
        return document

    def _mend(self, place: Place) -> str:
        return place.mend if place is self._places[-1] else "delete it: it will be fetched again"


class FolderReleaseStore(ReleaseStore):
    """Releases in a folder alone."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(Folder(folder))


def store_of(folder: str, vendor: Account | AccountPlace | None) -> ReleaseStore:
    """The releases of a vendor, with ``folder`` as their cache; without a vendor, those of the folder."""
    if vendor is None:
        return FolderReleaseStore(folder)
    return ReleaseStore(Folder(folder), vendor if isinstance(vendor, AccountPlace) else place_of(vendor))


def _other(place: Place, part: Part, difference: str) -> ReleaseError:
    return ReleaseError(
        f"{place.where(part)}: release {part.version} is already published with other content (differs in "
        f"{difference}); a published version never changes: pulumi config set version <next version> -s release"
    )


def _difference(published: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """The names of what differs, most telling first: runtimes, otherwise the manifest's own keys."""
    before, after = published["runtimes"], content["runtimes"]
    runtimes = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    keys = sorted(key for key in content.keys() | published.keys() if published.get(key) != content.get(key))
    return ", ".join(runtimes or keys)


if __name__ == "__main__":
    from components.release_commands import main

    sys.exit(main(sys.argv[1:]))
