"""Files that a command left behind, as Pulumi assets (`assetPaths`)."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from bridge.wire import ASSET, SIGNATURE, Asset


def collect(folder: str, patterns: list[str]) -> dict[str, Asset]:
    """Path relative to `folder` -> asset, for the files that the patterns choose; `!` excludes, the last match wins."""
    root = Path(folder or ".")
    rules = [(pattern.startswith("!"), compiled(pattern.removeprefix("!"))) for pattern in patterns]
    chosen: dict[str, Asset] = {}
    for where, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = Path(where, name)
            relative = path.relative_to(root).as_posix()
            verdicts = [not excludes for excludes, rule in rules if rule.fullmatch(relative)]
            if verdicts and verdicts[-1]:
                chosen[relative] = _asset(path)
    return chosen


def _asset(path: Path) -> Asset:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Asset(ASSET, {SIGNATURE: ASSET, "hash": digest, "path": str(path)})


def compiled(pattern: str) -> re.Pattern[str]:
    """A glob: `*` and `?` stop at `/`, `**` does not, `[a-z]`, `[!a]` and `{a,b}` as usual."""
    out, at, depth = "", 0, 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            out, at = out + ".*", at + 2
            continue
        if char == "[" and "]" in pattern[at:]:
            end = pattern.index("]", at)
            inside = pattern[at + 1 : end]
            out += f"[{'^' if inside.startswith('!') else ''}{inside.removeprefix('!')}]"
            at = end + 1
            continue
        if char == "{":
            depth, piece = depth + 1, "(?:"
        elif char == "}" and depth:
            depth, piece = depth - 1, ")"
        elif char == "," and depth:
            piece = "|"
        else:
            piece = {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
        out, at = out + piece, at + 1
    return re.compile(out, re.DOTALL)
