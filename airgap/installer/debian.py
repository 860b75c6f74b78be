"""The Debian packages that the platform and the factory call."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from airgap.installer.layout import Checkout, InstallError
from airgap.installer.progress import say

# command -> package
COMMANDS = {
    "docker": "docker.io",
    "runc": "runc",
    "docker-registry": "docker-registry",
    "mmdebstrap": "mmdebstrap",
    "haproxy": "haproxy",
}
# What an engine of our own calls. Only root starts one, and only where no engine answers.
ENGINE_COMMANDS = {"dockerd": "docker.io", "nft": "nftables", "iptables": "iptables", "ip": "iproute2"}
# What the tests call besides.
TEST_COMMANDS = {
    "busybox": "busybox-static",
    "ganesha.nfsd": "nfs-ganesha-vfs",
    "packer": "packer",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
}
# Of these packages: ours to start and stop; as services of the machine they would take its ports, and let people in.
# Those that were there before stay as they are: the machine may need them.
_SERVICES = {
    "docker-registry": ["docker-registry.service"],
    "haproxy": ["haproxy.service"],
    "nfs-ganesha-vfs": ["nfs-ganesha.service", "rpcbind.service", "rpcbind.socket"],
    "openssh-server": ["ssh.service"],
}
_UNITS = Path("/lib/systemd/system")
_SECONDS = 10.0
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def missing(checkout: Checkout, purpose: str) -> list[str]:
    """Packages whose command (or Python module) is not there though this user needs it for ``purpose``: run or dev."""
    packages = _absent(COMMANDS | (TEST_COMMANDS if purpose == "dev" else {}))
    own_engine = _absent(ENGINE_COMMANDS) if os.geteuid() == 0 else []
    if own_engine and not _engine_answers():
        packages += [package for package in own_engine if package not in packages]
    return packages + _venv_package(checkout)


def _absent(commands: dict[str, str]) -> list[str]:
    return [package for command, package in commands.items() if shutil.which(command, path=_SEARCH) is None]


def _engine_answers() -> bool:
    """Whether the engine that DOCKER_HOST, the docker context or the default socket names answers."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(command, capture_output=True, timeout=_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _venv_package(checkout: Checkout) -> list[str]:
    """Debian leaves out of its Python what makes a virtual environment; other Pythons bring it along."""
    complete = all(importlib.util.find_spec(module) for module in ("venv", "ensurepip"))
    debian_python = Path(sys.executable).resolve().is_relative_to("/usr/bin")
    return [] if complete or checkout.python.exists() or not debian_python else ["python3-venv"]


def install_missing(checkout: Checkout, purpose: str) -> None:
    """Installs what is missing as root; otherwise says what an administrator should install."""
    packages = missing(checkout, purpose)
    if not packages:
        return
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise InstallError(f"missing {', '.join(packages)}, and this is not Debian: install their commands yourself")
    if os.geteuid() != 0:
        raise InstallError(f"missing {', '.join(packages)}: ask an administrator for `{command}`")
    say(f"installing Debian packages: {' '.join(packages)}")
    there = {service for services in _SERVICES.values() for service in services if (_UNITS / service).exists()}
    _apt("update", "-q")
    _apt("install", "-q", "-y", "--no-install-recommends", *packages)
    _keep_services_off(packages, there)


def _apt(*arguments: str) -> None:
    # SYSTEMD_OFFLINE: install, but start no service.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        tail = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise InstallError(f"`apt-get {' '.join(arguments)}` failed:\n  {tail}")


def _keep_services_off(packages: list[str], there: set[str]) -> None:
    if not Path("/run/systemd/system").is_dir():
        return
    new = [service for package, services in _SERVICES.items() if package in packages for service in services]
    if off := [service for service in new if service not in there]:
        subprocess.run(["systemctl", "disable", "--quiet", *off], check=False)
