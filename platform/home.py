"""Where one checkout keeps its state: the `.stele` folder and the short run folder for sockets."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from problem import Problem


@dataclass(frozen=True)
class Home:
    """Folders of one checkout.

    `root` is the checkout, `id` the first 8 hex digits of the SHA-256 of its path, `run` the folder of
    sockets and process records. `run` is outside the checkout because a unix socket path is limited to
    108 bytes and because its contents mean nothing after a reboot.
    """

    root: Path
    id: str
    run: Path

    @property
    def stele(self) -> Path:
        return self.root / ".stele"

    @property
    def data(self) -> Path:
        return self.stele / "data"

    @property
    def log(self) -> Path:
        return self.stele / "log"

    @property
    def bin(self) -> Path:
        return self.stele / "bin"

    @property
    def docker_config(self) -> Path:
        return self.stele / "docker"

    @property
    def conf(self) -> Path:
        """Generated configuration of the parts and what `up` decided."""
        return self.stele / "platform"


def find_home(environ: dict[str, str]) -> Home:
    """The home of this checkout; STELE_HOME names another checkout's folder."""
    root = Path(environ.get("STELE_HOME") or Path(__file__).parent.parent).resolve()
    identity = hashlib.sha256(str(root).encode()).hexdigest()[:8]
    private = f"/tmp/stele-{os.getuid()}-{identity}"  # noqa: S108 - its owner is checked in check_run
    return Home(root, identity, Path(f"/run/stele-{identity}" if os.access("/run", os.W_OK) else private))


def folders(home: Home) -> tuple[Path, ...]:
    """The folders that `up` makes and every part needs."""
    return (home.data, home.log, home.conf, home.docker_config, home.run)


def make_folders(home: Home) -> None:
    """Create the folders that every part needs; Problem when one cannot be written."""
    for folder in folders(home):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(13, "not writable")
        except OSError as error:
            raise Problem(f"cannot write {folder} ({error.strerror})", folder_mend(error)) from error
    check_run(home)


def check_folders(home: Home) -> None:
    """Problem when `make_folders` would fail; nothing is made."""
    for folder in folders(home):
        there = existing(folder)
        if not (there.is_dir() and os.access(there, os.W_OK)):
            problem = PermissionError(13, "not writable") if there.is_dir() else NotADirectoryError(20, "not a folder")
            raise Problem(f"cannot write {folder} ({problem.strerror})", folder_mend(problem))
    check_run(home)


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if os.access(folder, os.F_OK))


def check_run(home: Home) -> None:
    """Problem when the run folder is somebody else's."""
    try:
        status = home.run.lstat()
    except FileNotFoundError:
        return
    # /tmp is shared: somebody else's folder or link of that name must not receive our sockets.
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise Problem(f"{home.run} belongs to uid {status.st_uid}", "remove it, or use a checkout at another path")


def free_space(home: Home) -> int:
    """Bytes free on the disk of the data."""
    disk = os.statvfs(existing(home.data))
    return disk.f_bavail * disk.f_frsize


def check_space(home: Home) -> None:
    """Problem when there is too little space to start with. Stopping needs none: it is how space is freed."""
    free = free_space(home)
    if free < 1 << 30:
        raise Problem(f"only {free >> 20} MiB free on the disk of {home.data}", "free at least 1 GiB there")


def folder_mend(error: OSError) -> str:
    """What helps against an error of a folder."""
    if error.errno in (28, 122):
        return "the disk or quota is full, free some space"
    return f"make it writable for uid {os.getuid()} (chown), or work as its owner"


def write_json(path: Path, value: Any) -> None:
    """Write so that a reader sees the old or the new content, never a part of it."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    scratch.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`, or an empty one when it is absent or not readable as JSON."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
