"""What this stack's runner works on: ``/etc/stele/backup.json``, layer 4's properties, and the secrets."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .problem import Problem

ROOT = os.environ.get("STELE_ROOT", "")  # of a test that runs outside a container
DATA = Path(f"{ROOT}/data")
CONFIGURATION = Path(f"{ROOT}/etc/stele/backup.json")
SECRETS = Path(f"{ROOT}/run/secrets")
STATE = Path(f"{ROOT}/run/stele")
FLOWS = Path(f"{ROOT}/opt/stele/flows")
LAYER4 = Path(f"{ROOT}/opt/stele/config")


@dataclass(frozen=True)
class Volume:
    """A runtime's volume as the runner sees it: ``capture`` says how its content is made consistent."""

    name: str
    capture: str  # database | messages | files
    path: Path

    @property
    def notes(self) -> Path:
        """Where the runner and the runtime leave notes for each other."""
        return self.path / ".stele"


@dataclass(frozen=True)
class Settings:
    """``restore`` names the backup for what is empty; ``source`` the stack whose backups those are; ``vanilla`` is the
    digest of the release's vanilla backup, if it has one."""

    stack: str
    source: str
    restore: str
    fenced: bool
    zone: ZoneInfo
    storage: dict[str, str]
    schema: dict[str, int]
    vanilla: str | None
    volumes: tuple[Volume, ...]
    properties: dict[str, str]

    def volume(self, capture: str) -> Volume | None:
        """The volume of that kind, if this stack has one."""
        return next((volume for volume in self.volumes if volume.capture == capture), None)


def secret(name: str) -> str:
    """The content of a secret. Raises Problem when it is missing or empty."""
    try:
        value = (SECRETS / name).read_text().strip()
    except OSError:
        value = ""
    if not value:
        raise Problem(f"secret {name!r} is missing or empty; pulumi config set --secret {name} VALUE")
    return value


def _properties() -> dict[str, str]:
    lines = [line for path in sorted(LAYER4.glob("*.properties")) for line in path.read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def load() -> Settings:
    """Read everything. Raises Problem."""
    try:
        plain: dict[str, Any] = json.loads(CONFIGURATION.read_text())
        zone = ZoneInfo(plain["timezone"])
        volumes = tuple(
            Volume(name, entry["capture"], Path(ROOT + entry["path"]))
            for name, entry in sorted(plain["volumes"].items())
        )
        return Settings(
            stack=plain["stack"],
            source=plain["source"],
            restore=plain["restore"],
            fenced=plain["fenced"],
            zone=zone,
            storage=plain["storage"],
            schema=plain["schema"],
            vanilla=plain["vanilla"],
            volumes=volumes,
            properties=_properties(),
        )
    except ZoneInfoNotFoundError:
        raise Problem(f"timezone {plain['timezone']!r} is unknown; e.g. Europe/Amsterdam") from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise Problem(f"{CONFIGURATION}: not usable ({error}); pulumi up writes it anew") from None
