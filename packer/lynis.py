"""The auditor: Debian's lynis, locked. It looks at a host's root before and after it is blessed, and is in no image.

As a program, for `make lock`: locks the one that the mirror serves now.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # caches would be files in a checkout that only builds
PACKER = Path(__file__).resolve().parent
sys.path.append(str(PACKER.parent / "runtimes" / "base"))

from apt import Archive, Package  # noqa: E402
from disk import BakeError, do  # noqa: E402
from locks import read  # noqa: E402

NAME = "lynis"
LOCK = PACKER / "lynis.lock"
REMARK = (
    "# The auditor of the build, which is in no image. Written by packer/lynis.py, for `make lock`; not edited by hand."
)

# Those of its tests that look at files, and not at the kernel or the services of the machine that bakes.
GROUPS = "authentication banners file_permissions filesystems kernel logging shells ssh storage tooling usb"
# Its exit status tells of warnings. A root has no host ID, and for want of one it would pause for 5 s, three times.
AUDIT = """\
PATH=/usr/sbin:/usr/bin
printf 'hostid=%040d\\nhostid2=%064d\\n' 1 1 >>/mnt/etc/lynis/default.prf
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3
mkdir /mnt/plugins
cd /mnt/usr/share/lynis
sh ../../sbin/lynis audit system --usecwd --quick --no-colors --no-log --plugin-dir /mnt/plugins \\
    --profile /mnt/etc/lynis/default.prf --report-file /mnt/report --tests-from-group "$1" >/mnt/said 2>&1 </dev/null
exit 0
"""


class Mirror(Archive):
    """The mirror, with a way to have one package from it."""

    def newest(self) -> Package:
        """The auditor that it serves now."""
        (package,) = [each for each in self.resolve([NAME]) if each.name == NAME]
        return package

    def fetch(self, package: Package, folder: Path) -> Path:
        """Its .deb, in a folder. Raises BakeError where it is not the one that was asked for."""
        apt = ["apt-get", *self._options, "download", "-qq", f"{package.name}={package.version}"]
        do("env", f"--chdir={folder}", *apt)
        (deb,) = folder.glob(f"{package.name}_*.deb")
        found = hashlib.sha256(deb.read_bytes()).hexdigest()
        if found != package.sha256:
            raise BakeError(f"{deb.name}: SHA-256 {found}, not {package.sha256}: the mirror serves another file")
        return deb


def locked(mirror: Mirror) -> Package:
    """The locked one or, where the mirror has moved on, the one that it serves; with LOCKED=1 a BakeError."""
    (package,) = read(LOCK)
    if mirror.served.get((package.name, package.version)) == package:
        return package
    found = f"{NAME} is locked at {package.version}, the mirror serves {', '.join(mirror.versions(NAME)) or 'none'}"
    if os.environ.get("LOCKED") == "1":
        raise BakeError(f"{found}: run `make lock`, or bake without LOCKED=1")
    print(f"host: notice: {found}; using that one", file=sys.stderr)
    return mirror.newest()


def auditor(folder: Path) -> Path:
    """The auditor's .deb, in a folder."""
    mirror = Mirror()
    with mirror:
        return mirror.fetch(locked(mirror), folder)


def hardening(deb: Path, tree: Path) -> int:
    """The hardening index of a root, 0 to 100, which the auditor finds in it. What the root is for must be done: it
    gets the auditor's files. Raises BakeError.
    """
    there = tree / "mnt"
    do("dpkg-deb", "--extract", str(deb), str(there))
    (there / "audit").write_text(AUDIT)
    # Of the machine it sees no process and no network.
    apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", f"--root={tree}", "--mount-proc"]
    do(*apart, "/bin/sh", "/mnt/audit", GROUPS)
    report = (there / "report").read_text() if (there / "report").exists() else ""
    found = re.search(r"^hardening_index=(\d+)$", report, re.MULTILINE)
    if found is None:
        said = (there / "said").read_text(errors="replace").strip().splitlines() or ["nothing"]
        raise BakeError(f"lynis gives no hardening index, and says: {said[-1]}")
    return int(found[1])


if __name__ == "__main__":
    current = Mirror()
    with current:
        newest = current.newest()
    LOCK.write_text(f"{REMARK}\n{newest.name}={newest.version} {newest.sha256}\n")
    print(f"packer/{LOCK.name}: {newest.name} {newest.version}")
