"""`packer build`, on whatever Packer is there: 1.6 as Debian has it, or a current one with its plugin."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from disk import BakeError, contained, do

PACKER = Path(__file__).resolve().parent
TAIL = 12  # lines of the guest's console in an error
PLUGINS_SINCE = (1, 7)
# What is not of the template.
BUILDS = (
    "bake",
    "accelerator.py",
    "disk.py",
    "guest.py",
    "lynis.*",
    "place.py",
    "sbom.py",
    "base",
    "azure",
    "packages*",
)
CHECK = "check failed: "


@dataclass(frozen=True)
class Build:
    """What the template's variables are given."""

    disk: Path
    kernel: Path
    initrd: Path
    accelerator: str
    epoch: str
    version: str
    work: Path


def build(given: Build) -> Path:
    """The sealed disk. Raises BakeError with what Packer said last, and the guest's console."""
    version = packer_version()
    template = given.work / "template"
    shutil.copytree(PACKER, template, ignore=shutil.ignore_patterns(*BUILDS, "__pycache__"))
    if version < PLUGINS_SINCE:
        (template / "plugins.pkr.hcl").unlink()  # builders are built in, and `required_plugins` is not known
    else:
        run(["packer", "init", str(template)], given)
    key = given.work / "key"
    do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "build", "-f", str(key))
    variables = {
        "disk": given.disk,
        "kernel": given.kernel,
        "initrd": given.initrd,
        "accelerator": given.accelerator,
        "output": given.work / "sealed",
        "console": console(given),
        "key": key,
        "credential": base64.b64encode(key.with_suffix(".pub").read_bytes()).decode(),
        "epoch": given.epoch,
        "image_version": given.version,
        "python": sys.executable,
    }
    words = [word for name, value in variables.items() for word in ("-var", f"{name}={value}")]
    run(["packer", "build", "-color=false", "-only=qemu.host", *words, str(template)], given)
    shutil.rmtree(template)
    key.unlink()
    key.with_suffix(".pub").unlink()
    return given.work / "sealed" / "disk.raw"


def console(given: Build) -> Path:
    """Where the guest's console goes."""
    return given.work / "console.log"


def packer_version() -> tuple[int, int]:
    """Major and minor version of the Packer that is installed."""
    said = do("packer", "version")
    found = re.search(r"v(\d+)\.(\d+)", said)
    if found is None:
        raise BakeError(f"packer version: {said.strip()!r} is not a version: is another program called packer?")
    return int(found[1]), int(found[2])


def run(command: list[str], given: Build) -> None:
    """Run Packer and pass on what it says."""
    env = os.environ | {
        "CHECKPOINT_DISABLE": "1",
        "TMPDIR": str(given.work),
        "PACKER_CACHE_DIR": str(given.work / "cache"),
    }
    lines: list[str] = []
    with subprocess.Popen(
        contained(*command), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                print(f"host: packer: {line.strip()}", file=sys.stderr, flush=True)
                lines.append(line.strip())
    if process.returncode:
        raise failure(command[1], lines or [f"exit code {process.returncode}"], console(given))


def failure(verb: str, lines: list[str], console: Path) -> BakeError:
    """Why Packer has failed: the checks that are not passed; otherwise what it said last, and the guest's console."""
    if failed := [line.partition(CHECK)[2] for line in lines if CHECK in line]:
        return BakeError(f"checks before sealing: {'; '.join(failed)}: mend packer/blessed or bless.sh, or the check")
    why = next((line for line in lines if "errored after" in line or line.startswith("Error:")), lines[-1])
    said = console.read_text(errors="replace").splitlines() if console.exists() else []
    return BakeError("\n  ".join([f"packer {verb}: {why}", *lines[-TAIL:], "the guest's console:", *said[-TAIL:]]))
