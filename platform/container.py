"""BuildKit for a user who is not root: in a container of the machine's engine.

Its image holds this machine's own buildkitd and runc with their libraries, so that nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from engine import Choice
from home import Home
from machine import CHECKOUT
from parts import INHERITED, find_program
from problem import Problem

CONTAINER_ROOT = "/var/lib/buildkit"
# What mounting snapshots and starting runc takes; --privileged fails where the machine itself lacks a capability.
RIGHTS = (
    *("--network", "host", "--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined"),
)


def contained(
    home: Home, choice: Choice, runc: str, argv: tuple[str, ...], *, write: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The command that runs `argv` in a container, and the one that removes what a killed one left.

    `write`: import the container's image when it is not there.
    """
    docker = find_program(home, ("docker",), "install it (apt-get install docker.io)")
    client = (docker, "--host", f"unix://{choice.socket}")
    programs = (argv[0], runc)
    image = _image_name(programs)
    if write:
        _provide(client, image, programs)
    name = f"stele-{home.id}-buildkit"
    label = f"{CHECKOUT}={home.id}"
    volume = f"type=volume,src={name},dst={CONTAINER_ROOT},volume-label={label}"
    command = [*client, "run", "--rm", "--name", name, "--label", label, *RIGHTS, "--mount", volume]
    for folder in (home.run, home.conf):
        command += ["--volume", f"{folder}:{folder}"]
    command += ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", "--volume", "/tmp"]  # noqa: S108 - the container's
    for variable in sorted(INHERITED):
        if variable in os.environ and variable not in ("PATH", "HOME", "LANG"):
            command += ["--env", variable]
    return (*command, image, *argv), (*client, "rm", "--force", "--volumes", name)


def _image_name(programs: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for program in programs:
        digest.update(Path(program).read_bytes())
    return f"stele-buildkit:{digest.hexdigest()[:12]}"


def _provide(client: tuple[str, ...], image: str, programs: tuple[str, ...]) -> None:
    """Import the image of these programs when it is not there; Problem when the engine refuses."""
    if subprocess.run([*client, "image", "inspect", image], capture_output=True).returncode == 0:
        return
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path in sorted(_files(programs)):
                tar.add(Path(path).resolve(), arcname=path.lstrip("/"))
        archive.seek(0)
        change = "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        command = [*client, "import", "--change", change, "-", image]
        result = subprocess.run(command, stdin=archive, capture_output=True, text=True)
    if result.returncode:
        raise Problem(f"docker import of {image} fails", result.stderr.strip().replace("\n", " "))


def _files(programs: tuple[str, ...]) -> set[str]:
    """The programs and the shared libraries that they load."""
    files = set(programs)
    for program in programs:
        listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        files |= set(re.findall(r"(/\S+) \(0x", listed))
    return files
