"""What a product publishes beside its manifest, each packed into one tar that depends on its content alone.

``runtimes/<product>/vanilla/<runtime>/...`` is the backup that a new installation begins with: what the runtime's
volume is loaded from while it is empty. ``runtimes/<product>/files/...`` are files that belong to the version.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from components.blueprint import RUNTIMES, Blueprint, is_debris, template
from components.manifest import ARCHIVES
from components.recipe import RecipeError


def archives_of(product: str, runtimes: Mapping[str, Blueprint]) -> dict[str, bytes]:
    """The tars of those archives that a product has, by name. Raises RecipeError."""
    folders = {name: RUNTIMES / product / name for name in ARCHIVES}
    for name in folders.keys() & runtimes.keys():
        raise RecipeError(
            f"{_short(folders[name])}: is not allowed as a runtime's name; it holds the {name} of {product}"
        )
    _check_vanilla(folders["vanilla"], runtimes)
    return {name: pack(product, name) for name, folder in folders.items() if _files(folder)}


def pack(product: str, name: str) -> bytes:
    """One archive's tar: sorted, dated like the images, owned by nobody in particular. Raises RecipeError."""
    top, epoch = RUNTIMES / product / name, int(template().epoch)
    files = _files(top)
    folders = {parent for path in files for parent in path.parents if top in parent.parents}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted([*files, *folders]):
            entry = tarfile.TarInfo(path.relative_to(top).as_posix())
            entry.mtime = epoch
            if path in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
                continue
            content = path.read_bytes()
            # As git keeps it: a clone with another umask gives the same tar.
            entry.size, entry.mode = len(content), 0o755 if path.stat().st_mode & 0o100 else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _files(folder: Path) -> list[Path]:
    """Every file below a folder. What git would not keep (empty folders) or the tar could not (links) is none."""
    found = [path for path in folder.rglob("*") if not is_debris(path)]
    for path in found:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise RecipeError(f"{_short(path)}: is not allowed in an archive; allowed: files and folders")
    return [path for path in found if path.is_file()]


def _check_vanilla(folder: Path, runtimes: Mapping[str, Blueprint]) -> None:
    """A backup can only be loaded into a volume."""
    keepers = [
        name for name, runtime in runtimes.items() if runtime.recipe.volume is not None and not runtime.recipe.tasks
    ]
    for path in sorted(folder.glob("*")):
        if not is_debris(path) and not (path.is_dir() and path.name in keepers):
            allowed = ", ".join(keepers) or "none, since no runtime has a volume"
            raise RecipeError(
                f"{_short(path)}: is not allowed; allowed: a folder for each runtime with a volume ({allowed})"
            )


def _short(path: Path) -> Path:
    return path.relative_to(RUNTIMES.parent)
