"""The object-lock store (versitygw), the door before it and its sealer: configuration, keys and command lines."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from home import Home
from parts import Part, find_program
from problem import Problem
from settings import Settings

CODE = Path(__file__).parent
# Nobody comes to versitygw but through this door, which refuses and logs what versitygw 1.8.0 does wrong with:
# - an upload id is joined into a path as it is: whoever may write could delete or overwrite what others stored;
# - `a//b`, `a/./b` and `x/../a/b` are one file, but the versions of it that are replaced are filed under each spelling
#   apart: writing to another spelling would hide them;
# - keys of folders, keys that XML cannot express and keys in folders of its own (`.sgwtmp`) cannot be listed, so never
#   dated;
# - a deletion or an upload by a form names its keys in the body, where no spelling can be refused;
# - a version is taken for one by its length, and joined into a path;
# - a deletion without a version copies the object aside and then marks what is there: what is written in between is
#   acknowledged and gone. restic's lock files alone are removed so, and written, one after the other.
DOOR_CONFIG = """\
global
  log stdout format raw local0
defaults
  mode http
  log global
  log-format "%t refused %ST %HM %HU"
  timeout connect 5s
  timeout client 5m
  timeout server 5m
frontend door
  bind 127.0.0.1:{port}
{passage}  acl an_upload query,url_dec -m sub -i uploadid
  acl uploads query,url_dec -m reg -i uploadid.*uploadid
  acl made_here query -m reg (^|&)uploadId=[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}(&|$)
  acl control_character url -m reg -i %([01][0-9a-f]|7f)
  acl half_escape path -m reg %([^0-9a-fA-F]|.[^0-9a-fA-F]|.?$)
  acl object path,url_dec -m reg ^/[^/]*/.
  acl other_spelling path,url_dec -m reg ^//|^/[^/]+/(.*/)?([.]{{0,2}}|[.]sgwtmp)(/|$)
  acl a_version query,url_dec -m sub -i versionid
  acl versions query,url_dec -m reg -i versionid.*versionid
  acl version_made_here query -m reg (^|&)versionId=([0-7][0-9A-HJKMNP-TV-Z]{{25}}|null)(&|$)
  acl copies_a_path req.hdr(x-amz-copy-source),url_dec -m reg -i versionid=.*[./]
  acl lock_file path,url_dec -m reg ^/[^/]+/backups/.+/locks/[0-9a-f]{{64}}$
  acl small req.hdr_val(content-length) le 8192
  acl text path,url_dec -m reg '{text}'
  http-request deny deny_status 400 if an_upload !made_here
  http-request deny deny_status 400 if uploads
  http-request deny deny_status 400 if control_character
  http-request deny deny_status 400 if half_escape
  http-request deny deny_status 400 if object other_spelling
  http-request deny deny_status 400 if !text
  http-request deny deny_status 400 if METH_POST !object
  http-request deny deny_status 400 if object a_version !version_made_here
  http-request deny deny_status 400 if object versions
  http-request deny deny_status 400 if copies_a_path
  http-request deny deny_status 400 if METH_DELETE object !an_upload !a_version !lock_file
  http-request deny deny_status 413 if METH_PUT lock_file !small
  http-request set-log-level silent
  use_backend lock_files if lock_file !METH_GET
  default_backend store
backend lock_files
  option http-buffer-request
  timeout http-request 10s
  timeout queue 30s
  server store unix@{socket} maxconn 1
backend store
  server store unix@{socket}
"""
# UTF-8 (RFC 3629) without U+FFFE and U+FFFF, which XML has not got, as bytes for HAProxy's regular expressions.
TEXT = (
    r"^([\x01-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee][\x80-\xbf]{2}"
    r"|\xed[\x80-\x9f][\x80-\xbf]|\xef[\x80-\xbe][\x80-\xbf]|\xef\xbf[\x80-\xbd]|\xf0[\x90-\xbf][\x80-\xbf]{2}"
    r"|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*$"
)


def door_config(port: int, socket: str, passage: str = "") -> str:
    """The door's configuration: it listens on loopback, and on socket ``passage``, and leads to the store's socket."""
    # A container's user is nobody of this host; what lets anybody in is the keys.
    bind = f"  bind unix@{passage} mode 666\n" if passage else ""
    return DOOR_CONFIG.format(port=port, socket=socket, text=TEXT, passage=bind)


def passage(home: Home) -> Path:
    """A folder for containers of this host, which have a loopback of their own: its `door.sock` is the door."""
    return home.run / "store"


def address(settings: Settings) -> str:
    """Where S3 clients find the store."""
    return f"http://127.0.0.1:{settings.store_port}"


def keys(home: Home) -> Path:
    """The administrator's keys: ROOT_ACCESS_KEY_ID and ROOT_SECRET_ACCESS_KEY as KEY=value lines, mode 0600."""
    return home.conf / "store-admin.env"


def store_part(home: Home, *, write: bool = True) -> Part:
    """The store: objects, their older versions and the accounts are folders of the checkout's data.

    `write`: also make the folders and, once, the keys. Requests and errors share one log, which the sealer reads.
    """
    program = find_program(home, ("versitygw",), "run `make dev`, which installs it, or put it on PATH")
    root = home.data / "store"
    if write:
        for folder in (root, root / "objects", root / "versions", root / "accounts"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _provide(keys(home))
    socket = _socket(home)
    argv = command(program, root, socket, _log(home))
    return Part("store", argv, ("health", socket), 15, (socket,), secrets=str(keys(home)))


def command(program: str, root: Path, socket: str, log: Path) -> tuple[str, ...]:
    """versitygw over the folders of `root`; every request, for accounts too, is a line in `log`."""
    argv = [program, "--port", socket, "--socket-perm", "0600", "--health", "/health", "--keep-alive"]
    argv += ["--quiet", "--access-log", str(log), "--admin-access-log", str(log)]
    # Without its cache a withdrawn account stops working at once.
    argv += ["--iam-dir", str(root / "accounts"), "--iam-cache-disable"]
    return (*argv, "posix", "--versioning-dir", str(root / "versions"), str(root / "objects"))


def door_part(home: Home, settings: Settings, *, write: bool = True) -> Part:
    """The only way to the store, on loopback (HAProxy)."""
    program = find_program(home, ("haproxy",), "install it (apt-get install haproxy)")
    config = home.conf / "door.cfg"
    if write:
        passage(home).mkdir(mode=0o755, parents=True, exist_ok=True)
        config.write_text(door_config(settings.store_port, _socket(home), str(passage(home) / "door.sock")))
    return Part("door", (program, "-db", "-f", str(config)), ("health", str(settings.store_port)), 15)


def _socket(home: Home) -> str:
    """Where versitygw listens: for this user's processes only."""
    return str(home.run / "store.sock")


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
