"""Where the program touches Pulumi's configuration: the one place that reads it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

from components.settings import SECRETS, EnvironmentSettings, ReleaseSettings, SettingsError, parse

CHECKOUT = Path(__file__).resolve().parent.parent


def read_settings() -> ReleaseSettings | EnvironmentSettings:
    """The validated settings of this stack; a bad value ends the program with its one line and nothing declared."""
    prefix = f"{pulumi.get_project()}:"
    raw = {key.removeprefix(prefix): str(value) for key, value in CONFIG.get().items() if key.startswith(prefix)}
    secret_keys = frozenset(name for name in SECRETS if is_config_secret(prefix + name))
    defaults = {
        "registry": os.environ.get("STELE_REGISTRY", "127.0.0.1:5001"),
        "releases": os.environ.get("STELE_RELEASES", str(CHECKOUT / ".stele" / "releases")),
    }
    try:
        return parse(raw, defaults=defaults, secret_keys=secret_keys)
    except SettingsError as error:
        stop(str(error))


def stop(line: str) -> NoReturn:
    """End the program with one line on the stack's diagnostics, without a Python traceback."""
    pulumi.log.error(line)
    sys.stdout.flush()
    raise SystemExit(32)
