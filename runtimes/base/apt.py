"""What the machine's own Debian mirror serves: which packages, in which versions, with which checksums.

Works without root: apt runs with a state folder of its own, and the machine's lists are only asked for the mirror's address.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"
# The root is made with a merged /usr; without this name apt would choose the converter, which brings Perl along.
MERGED = "usr-is-merged"
SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")


class MirrorError(Exception):
    """No Debian mirror is configured, it does not answer, or it lacks a package."""


@dataclass(frozen=True, order=True)
class Package:
    """One Debian package: its version and the SHA-256 of its .deb file (hex)."""

    name: str
    version: str
    sha256: str


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "PATH": _PATH})
    if done.returncode != 0:
        reason = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()[-1:]
        raise MirrorError(f"{command[0]} failed: {' '.join(reason)}")
    return done.stdout


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def machine_sources() -> list[str]:
    """The machine's sources.list lines for Debian 12 main; other vendors' archives on the machine are left out.

    Raises MirrorError when the machine has none.
    """
    fields = "$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(REPO_URI)|$(SIGNED_BY)"
    lines = []
    for target in _run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]).splitlines():
        release, component, origin, address, keyring = target.split("|", 4)
        # ORIGIN is empty until `apt-get update` ran once on the machine.
        if release in SUITES and component == "main" and origin in ("Debian", ""):
            signed = f"[signed-by={keyring}] " if keyring.startswith("/") else ""
            lines.append(f"deb {signed}{address} {release} main")
    if not lines:
        raise MirrorError(f"apt has no source for Debian '{SUITE} main': add one to /etc/apt/sources.list.d")
    return sorted(set(lines))


class Archive:
    """The mirror's present index, downloaded once into a scratch folder. Use as a context manager."""

    def __init__(self) -> None:
        self.sources = machine_sources()
        self._scratch = tempfile.TemporaryDirectory(prefix="stele-apt-")
        root = Path(self._scratch.name)
        for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
            (root / folder).mkdir(parents=True)
        (root / "status").touch()
        (root / "etc/sources.list").write_text("\n".join(self.sources) + "\n")
        self._options = [
            f"-oDir::State={root}/state",
            f"-oDir::State::status={root}/status",
            f"-oDir::Cache={root}/cache",
            f"-oDir::Etc::sourcelist={root}/etc/sources.list",
            "-oDir::Etc::sourceparts=/dev/null",
            "-oAPT::Install-Recommends=false",
            # apt counts itself as essential otherwise; no image needs it.
            "-opkgCacheGen::ForceEssential=,",
            # The sandbox user of apt cannot enter a folder of mode 0700.
            "-oAPT::Sandbox::User=root",
        ]
        _run(["apt-get", *self._options, "update", "-qq"])
        self.served = {(p.name, p.version): p for p in self._read_index()}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def _read_index(self) -> Iterator[Package]:
        listing = ["apt-get", *self._options, "indextargets", "--format", "$(FILENAME)", "Created-By: Packages"]
        for name in _run(listing).splitlines():
            for stanza in _run(["/usr/lib/apt/apt-helper", "cat-file", name]).split("\n\n"):
                fields = dict(line.split(": ", 1) for line in stanza.splitlines() if _wanted(line))
                if fields:
                    yield Package(fields["Package"], fields["Version"], fields["SHA256"])

    def versions(self, name: str) -> list[str]:
        """The versions of a package that the mirror serves now."""
        return sorted(version for known, version in self.served if known == name)

    def resolve(self, wanted: Iterable[str]) -> list[Package]:
        """The essential packages plus `wanted` plus everything they depend on, sorted by name.

        Raises MirrorError for a name the mirror does not know.
        """
        plan = _run(["apt-get", *self._options, "install", "--simulate", "-qq", "?essential", MERGED, *wanted])
        chosen = []
        for line in plan.splitlines():
            if line.startswith("Inst "):
                name, version = line.split()[1], line.split("(", 1)[1].split()[0]
                chosen.append(self.served[name.split(":")[0], version])
        return sorted(chosen)


def _wanted(line: str) -> bool:
    return line.startswith(("Package: ", "Version: ", "SHA256: "))
