"""The disk of a host: made from its root before the build, cut to what is to stay after it. Nothing is mounted."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

MIB = 1 << 20
ROOT_AT, ROOT_SIZE = 2, 1536  # MiB: where the root begins, behind GRUB's own partition, and how large it is
AFTER = 1  # MiB: the table's second copy
# Constant, so that one lock gives one disk. They tell partitions apart, not hosts.
DISK, BOOT, ROOT = (f"7e57e1e0-0000-4000-8000-00000000000{n}" for n in range(3))
_TABLE = f"""\
label: gpt
label-id: {DISK}
start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649, uuid={BOOT}, name=boot
start={ROOT_AT}MiB, size={{size}}MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid={ROOT}, name=root
"""
FULL = "Could not allocate"  # block, or inode


class BakeError(Exception):
    """One line: what stopped the bake, with its value, and the mend."""


def _env() -> dict[str, str]:
    """Debian keeps mkfs and its like where ordinary users do not look."""
    return os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}


def do(*command: str, text: str | None = None) -> str:
    """Run a program; its output. Raises BakeError with its last line."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=_env())
    except FileNotFoundError:
        raise BakeError(f"{command[0]} is not installed: run `airgap/install --dev`") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
        raise BakeError(f"{command[0]}: {said[-1]}")
    return done.stdout


def contained(*command: str) -> list[str]:
    """A command that ends, with all that it starts and mounts, when this process does: killed, too."""
    alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["setpriv", "--pdeathsig", "KILL", *alone, *command]


def base_disk(tree: Path, out: Path, epoch: str, size: int = ROOT_SIZE) -> None:
    """Write the disk whose root, of ``size`` MiB, is this folder. Raises BakeError, also where it does not fit."""
    do("truncate", f"--size={ROOT_AT + size + AFTER}M", str(out))
    do("sfdisk", "--quiet", str(out), text=_TABLE.format(size=size))
    options = f"offset={ROOT_AT * MIB},hash_seed={ROOT},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
    ext4 = ["mkfs.ext4", "-q", "-F", "-L", "root", "-U", ROOT, "-m", "0", "-E", options, "-d", str(tree), str(out)]
    try:
        do("env", f"SOURCE_DATE_EPOCH={epoch}", *ext4, f"{size}M")
    except BakeError as error:
        if FULL not in str(error):
            raise
        files = int(do("du", "--summarize", "--block-size=1M", str(tree)).split()[0])
        mend = "take something out of packer/packages, or raise ROOT_SIZE in packer/disk.py"
        raise BakeError(f"the root: {files} MiB of files do not fit into its {size} MiB: {mend}") from None


def cut(disk: Path) -> None:
    """Leave of a disk what comes with the image: its state partition, with all that the build wrote there, goes."""
    os.truncate(disk, (ROOT_AT + ROOT_SIZE + AFTER) * MIB)
    # The table anew, since its second copy was at the end of a larger disk. Boot code stays.
    do("sfdisk", "--quiet", "--wipe=never", "--wipe-partitions=never", str(disk), text=_TABLE.format(size=ROOT_SIZE))


def extract(disk: Path, tree: Path) -> None:
    """Its root as a folder."""
    tree.mkdir()
    root = disk.with_suffix(".root")
    with disk.open("rb") as source, root.open("wb") as sink:
        source.seek(ROOT_AT * MIB)
        for _ in range(ROOT_SIZE):
            sink.write(source.read(MIB))
    # It ends well whatever went wrong, and splits its words at spaces.
    said = subprocess.run(
        ["debugfs", "-R", "rdump / .", str(root)], cwd=tree, capture_output=True, text=True, env=_env(), check=True
    ).stderr.splitlines()
    if len(said) > 1 or not (tree / "etc/os-release").is_symlink():
        raise BakeError(f"debugfs: {said[-1]}")
    root.unlink()


def tree_digest(tree: Path) -> str:
    """``sha256:<hex>`` of a root: of each entry its name, kind, mode, owner, and content or target. Not its times."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted([*files, *(each for each in folders if Path(folder, each).is_symlink())]):
            digest.update(_entry(Path(folder, name), tree))
        digest.update(_entry(Path(folder), tree))
    return f"sha256:{digest.hexdigest()}"


def _entry(path: Path, tree: Path) -> bytes:
    status = path.lstat()
    content = b""
    if path.is_symlink():
        content = str(path.readlink()).encode()
    elif path.is_file():
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
    name = path.relative_to(tree).as_posix()
    return f"{name}\0{status.st_mode:o}\0{status.st_uid}\0{status.st_gid}\0{len(content)}\0".encode() + content


def compress(disk: Path, out: Path) -> None:
    """A compressed qcow2 of it."""
    do("qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", str(disk), str(out))
