"""What the machine's own Debian mirror serves: which packages, in which versions, with which checksums.

Works without root: apt runs with a state folder of its own, and the machine's lists are only asked for the mirror's
address.
"""

from __future__ import annotations

import re
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


def machine_sources(folder: Path = Path("/etc/apt")) -> list[str]:
    """The machine's sources.list lines for this suite's `main`, read from both of apt's formats.

    Other vendors' archives may be among them; `Archive` leaves those out. Raises MirrorError when there is none.
    """
    lines: set[str] = set()
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]:
        lines.update(_one_line_format(path.read_text() if path.is_file() else ""))
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        lines.update(_stanza_format(path.read_text()))
    if not lines:
        raise MirrorError(f"apt has no source for Debian '{SUITE} main': add one to /etc/apt/sources.list.d")
    return sorted(lines)


def _one_line_format(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if found := re.match(r"deb\s+(\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line):
            options, address, suite, components = found.groups(default="")
            if suite in SUITES and "main" in components.split():
                yield f"deb {options}{address} {suite} main"


def _stanza_format(text: str) -> Iterator[str]:
    uncommented = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", uncommented):
        fields = {
            key.lower(): value.split()
            for key, value in re.findall(r"^([\w-]+):(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        }
        if (
            "deb" in fields.get("types", [])
            and "main" in fields.get("components", [])
            and fields.get("enabled") != ["no"]
        ):
            keyring = fields.get("signed-by", [""])[0]
            options = f"[signed-by={keyring}] " if keyring.startswith("/") else ""
            for address in fields.get("uris", []):
                yield from (
                    f"deb {options}{address} {suite} main" for suite in fields.get("suites", []) if suite in SUITES
                )


class Archive:
    """The mirror's present index, downloaded once into a scratch folder. Use as a context manager."""

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="stele-apt-")
        root = Path(self._scratch.name)
        for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
            (root / folder).mkdir(parents=True)
        (root / "status").touch()
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
        self.sources = self._debian_only(root / "etc/sources.list", machine_sources())
        self.served = {(p.name, p.version): p for p in self._read_index()}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def _debian_only(self, path: Path, sources: list[str]) -> list[str]:
        """Downloads the index of `sources`; what another vendor signed is dropped from them."""
        path.write_text("\n".join(sources) + "\n")
        _run(["apt-get", *self._options, "update", "-qq"])
        targets = self._index_targets("$(ORIGIN)|$(REPO_URI)|$(RELEASE)")
        debian = {tuple(t.split("|")[1:]) for t in targets if t.startswith("Debian|")}
        kept = [line for line in sources if (_word(line, -3).rstrip("/") + "/", _word(line, -2)) in debian]
        if not kept:
            raise MirrorError(f"none of apt's sources for '{SUITE} main' is Debian's own")
        path.write_text("\n".join(kept) + "\n")
        return kept

    def _index_targets(self, fields: str) -> list[str]:
        return _run(
            ["apt-get", *self._options, "indextargets", "--format", fields, "Created-By: Packages"]
        ).splitlines()

    def _read_index(self) -> Iterator[Package]:
        for name in self._index_targets("$(FILENAME)"):
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


def _word(line: str, position: int) -> str:
    return line.split()[position]


def _wanted(line: str) -> bool:
    return line.startswith(("Package: ", "Version: ", "SHA256: "))
