"""Packer's templates: what they accept, and what they say of a bad value."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import guest
import pytest

from tests.hosts.conftest import PACKER

QEMU = {"epoch": "1", "disk": "base.raw", "disk_checksum": "sha256:" + 64 * "0"}
AZURE = {
    "subscription": "00000000-0000-0000-0000-000000000000",
    "resource_group": "stele",
    "region": "westeurope",
    "base_image": "stele-base",
    "gallery": "stele",
    "gallery_version": "1.0.0",
    "key": "key",
    "epoch": "1",
    "image_version": "0123456789ab",
}
BAD = [
    (QEMU, "epoch", "today", "The epoch must be a whole number of seconds since 1970."),
    (QEMU, "disk_size", "2048", "The disk_size must be at least 4096 MiB."),
    (QEMU, "memory", "256", "The memory must be at least 512 MiB."),
    (QEMU, "accelerator", "hvf", "The accelerator must be kvm or tcg."),
    (QEMU, "disk_checksum", "sha256:12", "The disk_checksum must be sha256: and 64 hexadecimal digits."),
    (QEMU, "image_version", "a b", "The image_version must be of a-z, 0-9 and . _ ~ ^ -"),
    (QEMU, "memroy", "1024", 'A "memroy" variable was passed in the command line but was not found'),
    (AZURE, "subscription", "mine", "The subscription must be an ID as `az account list` prints it"),
    (AZURE, "resource_group", "a/b", "The resource_group must be 1 to 90 of"),
    (AZURE, "region", "West Europe", "The region must be a name as `az account list-locations` prints it"),
    (AZURE, "base_image", "", "The base_image must be the name of a managed image"),
    (AZURE, "gallery", "a-b", "The gallery must be of A-Z, a-z, 0-9 and _ .: galleries take no dash."),
    (AZURE, "gallery_version", "1.0", "The gallery_version must be three numbers, such as 1.0.0."),
    (AZURE, "vm_size", "large", "The vm_size must be a name as `az vm list-sizes` prints it"),
    (AZURE, "user", "root", "The user must be of a-z, 0-9 and _ -, and neither root nor admin nor administrator."),
    (AZURE, "epoch", "today", "The epoch must be a whole number of seconds since 1970."),
    (AZURE, "image_version", "1.0", "The image_version must be of a-z and 0-9"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The templates, for the Packer that is here, with the files that their variables name."""
    shutil.copytree(PACKER, tmp_path / "packer", ignore=shutil.ignore_patterns("__pycache__"))
    if guest.packer_version() < guest.PLUGINS_SINCE:
        for path in (tmp_path / "packer").rglob("plugins.pkr.hcl"):
            path.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    return tmp_path


def validate(copy: Path, variables: dict[str, str]) -> str:
    """What Packer says of a template with these; empty when it has nothing to say."""
    folder = "packer/azure" if "subscription" in variables else "packer"
    words = [word for name, value in variables.items() for word in ("-var", f"{name}={value}")]
    env = os.environ | {"CHECKPOINT_DISABLE": "1"}
    command = ["packer", "validate", *words, folder]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode == 0) == (said == ""), said
    return said


@pytest.mark.parametrize("variables", [QEMU, AZURE], ids=["qemu", "azure"])
def test_it_is_valid(copy: Path, variables: dict[str, str]) -> None:
    assert validate(copy, variables) == ""


@pytest.mark.parametrize(("variables", "name", "value", "said"), BAD, ids=[row[1] for row in BAD])
def test_a_bad_value_is_told(copy: Path, variables: dict[str, str], name: str, value: str, said: str) -> None:
    assert said in validate(copy, variables | {name: value})


@pytest.mark.parametrize("folder", ["packer", "packer/azure"])
def test_it_is_formatted(folder: str) -> None:
    done = subprocess.run(
        ["packer", "fmt", "-check", "-diff", folder], cwd=PACKER.parent, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_failing_checks_are_the_reason_that_a_bake_gives(tmp_path: Path) -> None:
    said = """\
==> qemu.host: Running local shell script: packer-shell1
    qemu.host: check failed: 5.1.4 (access is limited): no
    qemu.host: check failed: ports (22 alone): no
    qemu.host: checks: 2 of 109 failed
==> qemu.host: Deleting output directory...
Build 'qemu.host' errored after 1 minute: Script exited with non-zero exit status: 1.""".splitlines()
    failed = "5.1.4 (access is limited): no; ports (22 alone): no"
    mend = "mend packer/blessed or bless.sh, or the check"
    assert str(guest.failure("build", said, tmp_path / "console")) == f"checks before sealing: {failed}: {mend}"
    (tmp_path / "console").write_text("Kernel panic")
    other = str(guest.failure("build", said[4:], tmp_path / "console")).splitlines()
    assert other[0].startswith("packer build: Build 'qemu.host' errored after 1 minute")
    assert other[-1] == "  Kernel panic"
