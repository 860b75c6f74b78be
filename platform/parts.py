"""What a part of the platform is: a daemon with a command line, a health check and a log."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from home import Home, read_json
from problem import Problem
from wire import healthy

# What a daemon inherits from the shell that ran `up`: proxies and certificates, no secrets of that shell.
INHERITED = ("PATH", "HOME", "LANG", "TZ", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Part:
    """One supervised daemon.

    `health` is (kind, address) of wire.healthy; `patience` the seconds it may take to end on SIGTERM, and
    to answer again before it counts as hung; `stale` are files that a killed predecessor may have left.
    `secrets` is a file of KEY=value lines that the daemon gets as environment: command lines are for all to read.
    """

    name: str
    argv: tuple[str, ...]
    health: tuple[str, str]
    patience: int
    stale: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    secrets: str = ""

    @property
    def spec(self) -> str:
        """Hash of everything a restart would change, the contents of configuration files included."""
        digest = hashlib.sha256(json.dumps(asdict(self)).encode())
        for argument in (*self.argv, self.secrets):
            if argument.endswith((".json", ".toml", ".yml", ".py", ".env", ".cfg")) and Path(argument).is_file():
                digest.update(Path(argument).read_bytes())
        return digest.hexdigest()[:16]

    def environ(self) -> dict[str, str]:
        """What the daemon is started with: the supervisor's environment and the secrets as they are now."""
        return dict(os.environ) | (read_pairs(Path(self.secrets)) if self.secrets else {})

    def answers(self) -> bool:
        return healthy(*self.health)

    def record(self, home: Home) -> Path:
        return home.run / f"{self.name}.json"

    def log(self, home: Home) -> Path:
        return home.log / f"{self.name}.log"


def environment(environ: dict[str, str]) -> dict[str, str]:
    """The daemons' environment; sbin folders are added because iptables lives there."""
    kept = {key: value for key, value in environ.items() if key.upper() in INHERITED}
    kept["PATH"] = f"{environ.get('PATH', '')}:{SYSTEM_PATH}".strip(":")
    return kept


def read_pairs(path: Path) -> dict[str, str]:
    """The KEY=value lines of a file."""
    pairs = (line.partition("=") for line in path.read_text().splitlines() if line)
    return {key: value for key, _, value in pairs}


def find_program(home: Home, names: tuple[str, ...], mend: str) -> str:
    """Absolute path of the first of `names` in .stele/bin, on PATH or in a system folder.

    The checkout's own comes first, so that the shell's PATH does not decide which one runs (and restart it).
    """
    path = f"{home.bin}:{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise Problem(f"program {names[0]} not found", mend)


def load_parts(home: Home) -> list[Part]:
    """The parts that the last `up` asked the supervisor for."""
    rows: list[dict[str, Any]] = read_json(home.conf / "parts.json").get("parts", [])
    return [
        Part(
            row["name"],
            tuple(row["argv"]),
            (row["health"][0], row["health"][1]),
            row["patience"],
            tuple(row["stale"]),
            tuple(row["before"]),
            row.get("secrets", ""),
        )
        for row in rows
    ]


def last_lines(path: Path, count: int = 5) -> list[str]:
    """The end of a log, at most 200 characters a line."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 8192))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    return [line[:200] for line in text.splitlines() if line.strip()][-count:]
