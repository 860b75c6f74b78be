"""The ground a laboratory stands on: this checkout's toolchain, engine, registry and builder."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
BRING_UP_LIMIT = 1800  # seconds: from nothing, the toolchain is compiled


class LabError(AssertionError):
    """Something the laboratory needs did not work; the first line says why, the last ones are a command's."""


def tail(text: str, lines: int = 40) -> str:
    """The last lines of a command's output, for messages."""
    return "\n".join(text.splitlines()[-lines:])


def reason(text: str) -> str:
    """The line of a command's output that says why it failed: a summary of many tests shows one line of each."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    complaints = [line for line in lines if "error:" in line.lower() and not line.endswith("update failed")]
    return next(iter(complaints or lines[-1:]), "it said nothing")


def run(
    *command: str | Path,
    env: dict[str, str] | None = None,
    cwd: Path = CHECKOUT,
    check: bool = True,
    limit: float = 900,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command with its output captured; LabError when it fails and ``check`` is on."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=env, cwd=cwd, capture_output=True, text=True, timeout=limit, input=stdin)
    if check and done.returncode:
        said = f"{done.stdout}\n{done.stderr}"
        raise LabError(f"exit code {done.returncode}: {reason(said)}\n{shlex.join(words)}\n{tail(said, 80)}")
    return done


def exported(text: str) -> dict[str, str]:
    """The variables of `export NAME='value'` lines."""
    words = (shlex.split(line) for line in text.splitlines() if line.startswith("export "))
    return dict(word.split("=", 1) for _, word in words)


@cache
def toolchain() -> dict[str, str]:
    """Bring up the toolchain (nothing happens when all is well); the variables for its users."""
    python = f"{sys.base_prefix}/bin/python3"
    here = {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_CONFIG_PASSPHRASE")}
    run(python, "airgap/install", "--dev", env=here, limit=BRING_UP_LIMIT)
    here |= exported(run(python, "airgap/environment", env=here).stdout)
    here.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
    here.pop("PYTHONDONTWRITEBYTECODE", None)  # Python's default: no program is compiled anew at every run
    return here


@cache
def environment() -> dict[str, str]:
    """Bring up the toolchain and the platform (both do nothing when all is well); the variables for their users."""
    python = f"{sys.base_prefix}/bin/python3"
    here = dict(toolchain())
    run(python, "platform/local", "up", env=here)
    here |= exported(run(python, "platform/local", "env", env=here).stdout)
    # What docker-py and plain HTTP clients in this process talk to.
    os.environ["DOCKER_HOST"] = here["DOCKER_HOST"]
    return here
