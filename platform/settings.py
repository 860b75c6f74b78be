"""Ports and addresses of the local platform: from the environment, else as first chosen, else default."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass, fields

from home import Home, read_json, write_json
from problem import Problem


@dataclass(frozen=True)
class Settings:
    """What a user may choose. Ports are TCP on loopback, `data_path_port` is UDP (VXLAN)."""

    registry_port: int = 5001
    store_port: int = 7070
    swarm_port: int = 2377
    swarm_address: str = "127.0.0.1"
    data_path_port: int = 4789
    build_cache_gb: int = 20


HELP = """settings (environment; kept in .stele/platform/settings.json until `stop --delete-data`):
  STELE_REGISTRY_PORT   TCP port of the registry on 127.0.0.1 (default 5001)
  STELE_STORE_PORT      TCP port of the object-lock store on 127.0.0.1 (default 7070)
  STELE_SWARM_PORT      TCP port of the Swarm manager (default 2377)
  STELE_SWARM_ADDRESS   loopback address of the Swarm; its gossip uses port 7946 there (default 127.0.0.1)
  STELE_DATA_PATH_PORT  UDP port of the overlay networks, VXLAN (default 4789)
  STELE_BUILD_CACHE_GB  most that the build cache may hold, in GB (default 20)
  STELE_HOME            another checkout's folder
  DOCKER_HOST           an engine of this machine to use instead of one of our own"""


def variable(field: str) -> str:
    """The environment variable of a field: registry_port -> STELE_REGISTRY_PORT."""
    return "STELE_" + field.upper()


def load_settings(home: Home, environ: dict[str, str]) -> Settings:
    """Settings in force; the environment wins over what was stored, that over the defaults."""
    stored = read_json(home.conf / "settings.json")
    values: dict[str, int | str] = {}
    for field in fields(Settings):
        raw = environ.get(variable(field.name)) or stored.get(field.name, field.default)
        values[field.name] = _checked(field.name, raw)
    return Settings(**values)  # type: ignore[arg-type]


def is_chosen(home: Home, environ: dict[str, str], field: str) -> bool:
    """Whether a field's value was given or stored, and is no default."""
    return bool(environ.get(variable(field))) or field in read_json(home.conf / "settings.json")


def store_settings(home: Home, settings: Settings) -> None:
    """Remember the settings: image names hold the registry's port, so it must not drift between shells."""
    if read_json(home.conf / "settings.json") != asdict(settings):
        write_json(home.conf / "settings.json", asdict(settings))


def _checked(field: str, raw: object) -> int | str:
    if field == "swarm_address":
        try:
            if ipaddress.IPv4Address(str(raw)).is_loopback:
                return str(raw)
        except ValueError:
            pass
        raise Problem(f"{variable(field)}={raw}", "allowed are loopback addresses, 127.0.0.1 to 127.255.255.254")
    low, high = {"data_path_port": (1024, 49151), "build_cache_gb": (1, 10_000)}.get(field, (1024, 65535))
    try:
        value = int(str(raw))
    except ValueError:
        value = -1
    if not low <= value <= high:
        raise Problem(f"{variable(field)}={raw}", f"allowed are whole numbers from {low} to {high}")
    return value
