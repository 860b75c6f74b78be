"""The Python environment `.venv`, exactly as locked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from airgap.installer.layout import Checkout, InstallError
from airgap.installer.progress import say

LOCKS = {"run": "requirements.lock", "dev": "requirements-dev.lock"}
MINIMUM_PYTHON = (3, 11)


def is_current(checkout: Checkout, purpose: str) -> bool:
    """Whether `.venv` holds what the lock for `purpose` ("run" or "dev") says. "dev" contains "run"."""
    try:
        installed = json.loads(_receipt(checkout).read_text())
    except (OSError, ValueError):
        return False
    wanted = {p: _digest(checkout, p) for p in LOCKS}
    covered = installed == wanted["run"] if purpose == "run" else False
    return checkout.python.exists() and (covered or installed == wanted["dev"])


def prepare(checkout: Checkout, purpose: str) -> None:
    """Creates or updates `.venv`. Raises InstallError."""
    if is_current(checkout, purpose):
        return
    if sys.version_info < MINIMUM_PYTHON:
        raise InstallError(f"{sys.executable} is Python {sys.version.split()[0]}: 3.11 or newer is needed")
    if purpose == "run" and _receipt(checkout).is_file() and "pytest" in _names(checkout.venv):
        purpose = "dev"  # a developer's environment stays one
    if not _works(checkout.python):
        _create(checkout)
    say(f"installing Python packages from {LOCKS[purpose]}")
    _receipt(checkout).unlink(missing_ok=True)
    command = [
        str(checkout.python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "--require-hashes",
    ]
    done = subprocess.run([*command, "-r", str(checkout.root / LOCKS[purpose])], capture_output=True, text=True)
    if done.returncode != 0:
        tail = "\n  ".join(done.stderr.strip().splitlines()[-8:])
        raise InstallError(f"pip could not install {LOCKS[purpose]}:\n  {tail}")
    _compile(checkout)
    _receipt(checkout).write_text(json.dumps(_digest(checkout, purpose)))


def _compile(checkout: Checkout) -> None:
    """Compile what was installed, as pip would, except the Azure SDK: of its 6000 modules a program uses a hundred,
    which Python compiles when it first needs them. All of them take five times as long as downloading and unpacking.
    """
    packages = [str(path) for path in checkout.venv.glob("lib/python3*/site-packages")]
    # Its exit code says that some package brings a file of another Python's, which nobody imports.
    subprocess.run([checkout.python, "-m", "compileall", "-qq", "-x", "/pulumi_azure_native/", *packages], check=False)


def _create(checkout: Checkout) -> None:
    say("creating .venv")
    shutil.rmtree(checkout.venv, ignore_errors=True)
    done = subprocess.run([sys.executable, "-m", "venv", checkout.venv], capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(checkout.venv, ignore_errors=True)
        detail = done.stdout.strip()[-300:]
        raise InstallError(f"{sys.executable} cannot create .venv; on Debian, install python3-venv\n  {detail}")


def _works(python: Path) -> bool:
    """False as well for an environment whose interpreter was removed or upgraded away."""
    return python.exists() and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0


def _names(venv: Path) -> set[str]:
    return {p.name.partition("-")[0] for p in venv.glob("lib/python3*/site-packages/*.dist-info")}


def _receipt(checkout: Checkout) -> Path:
    return checkout.venv / "stele-lock.json"


def _digest(checkout: Checkout, purpose: str) -> str:
    return hashlib.sha256((checkout.root / LOCKS[purpose]).read_bytes()).hexdigest()
