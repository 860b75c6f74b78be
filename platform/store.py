"""The object-lock store (versitygw) and its sealer: the administrator's keys and the command lines."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from home import Home
from parts import Part, find_program
from problem import Problem
from settings import Settings

CODE = Path(__file__).parent


def address(settings: Settings) -> str:
    """Where S3 clients find the store."""
    return f"http://127.0.0.1:{settings.store_port}"


def keys(home: Home) -> Path:
    """The administrator's keys: ROOT_ACCESS_KEY_ID and ROOT_SECRET_ACCESS_KEY as KEY=value lines, mode 0600."""
    return home.conf / "store-admin.env"


def store_part(home: Home, settings: Settings, *, write: bool = True) -> Part:
    """The store on loopback: objects, their older versions and the accounts are folders of the checkout's data.

    `write`: also make the folders and, once, the keys. Requests and errors share one log, which the sealer reads.
    """
    program = find_program(home, ("versitygw",), "run `make dev`, which installs it, or put it on PATH")
    root = home.data / "store"
    if write:
        for folder in (root, root / "objects", root / "versions", root / "accounts"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _provide(keys(home))
    argv = [program, "--port", f"127.0.0.1:{settings.store_port}", "--health", "/health", "--keep-alive"]
    argv += ["--quiet", "--access-log", str(_log(home))]
    # Without its cache a withdrawn account stops working at once.
    argv += ["--iam-dir", str(root / "accounts"), "--iam-cache-disable"]
    argv += ["posix", "--versioning-dir", str(root / "versions"), str(root / "objects")]
    return Part("store", tuple(argv), ("health", str(settings.store_port)), 15, secrets=str(keys(home)))


def sealer_part(home: Home, settings: Settings) -> Part:
    """The sealer (sealer.py), run by the Python environment of the checkout, or else of this program's own."""
    pythons = [str(root / ".venv" / "bin" / "python") for root in (home.root, CODE.parent)]
    python = next((path for path in pythons if os.access(path, os.X_OK)), None)
    if python is None:
        raise Problem(f"{pythons[0]} not found", "run `make dev`, which makes it")
    socket = str(home.run / "sealer.sock")
    argv = (python, "-I", str(CODE / "sealer.py"), address(settings), str(_log(home)), socket)
    return Part("sealer", argv, ("health", socket), 30, (socket,), secrets=str(keys(home)))


def _log(home: Home) -> Path:
    """Part.log of the store, so that the supervisor keeps it short."""
    return home.log / "store.log"


def _provide(path: Path) -> None:
    """New random keys, unless there are some. Beside and moved into place: a full disk leaves no half of them."""
    if path.exists():
        return
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"ROOT_ACCESS_KEY_ID=stele-{secrets.token_hex(8)}\nROOT_SECRET_ACCESS_KEY={secrets.token_hex(32)}\n")
    beside.replace(path)
