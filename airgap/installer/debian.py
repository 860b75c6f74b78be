"""The Debian packages that the platform and the factory call."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from airgap.installer.layout import InstallError
from airgap.installer.progress import say

# command -> package
COMMANDS = {
    "dockerd": "docker.io",
    "runc": "runc",
    "docker-registry": "docker-registry",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "iptables": "iptables",
    "ip": "iproute2",
}
# Ours to start and stop; as services of the machine they would take its ports.
_SERVICES = ("docker-registry.service",)
_ENGINE_SOCKET = Path("/var/run/docker.sock")
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def missing() -> list[str]:
    """Packages whose command is not there."""
    absent = [package for command, package in COMMANDS.items() if shutil.which(command, path=_SEARCH) is None]
    if _ENGINE_SOCKET.exists() and "docker.io" in absent:
        absent.remove("docker.io")  # an engine runs already, whoever packaged it
    if shutil.which("docker") is None and "docker.io" not in absent:
        absent.append("docker.io")
    return absent


def install_missing() -> None:
    """Installs what is missing as root; otherwise says what an administrator should install."""
    packages = missing()
    if not packages:
        return
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise InstallError(f"missing {', '.join(packages)}, and this is not Debian: install their commands yourself")
    if os.geteuid() != 0:
        raise InstallError(f"missing {', '.join(packages)}: ask an administrator for `{command}`")
    say(f"installing Debian packages: {' '.join(packages)}")
    _apt("update", "-q")
    _apt("install", "-q", "-y", "--no-install-recommends", *packages)
    _keep_services_off(packages)


def _apt(*arguments: str) -> None:
    # SYSTEMD_OFFLINE: install, but start no service.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        tail = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise InstallError(f"`apt-get {' '.join(arguments)}` failed:\n  {tail}")


def _keep_services_off(packages: list[str]) -> None:
    if not Path("/run/systemd/system").is_dir():
        return
    for service in _SERVICES:
        if service.removesuffix(".service") in packages:
            subprocess.run(["systemctl", "disable", "--quiet", service], check=False)
