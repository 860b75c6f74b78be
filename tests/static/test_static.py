"""What can be said without running anything: lint, types, shell, Dockerfiles, links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def tracked() -> list[Path]:
    """Every file that git knows, or would after `git add`: what users get."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.splitlines() if (path := ROOT / name).is_file()]


def shell_scripts() -> list[Path]:
    return [path for path in tracked() if path.read_bytes()[:32].startswith((b"#!/bin/bash", b"#!/usr/bin/env bash"))]


def passes(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint() -> None:
    passes(BIN / "ruff", "check", ".")


def test_format() -> None:
    passes(BIN / "ruff", "format", "--check", ".")


def test_types() -> None:
    passes(BIN / "mypy", "components", "commands", "__main__.py")
    passes(BIN / "mypy", "airgap", "bench", "packer", "tests")
    passes(BIN / "mypy", "-p", "runner")


def test_shell() -> None:
    scripts = shell_scripts()
    assert scripts
    passes(BIN / "shellcheck", *scripts)


def test_dockerfiles() -> None:
    files = [path for path in tracked() if path.name.endswith("Dockerfile")]
    assert files
    passes(BIN / "hadolint", "--failure-threshold", "warning", *files)


def anchors(page: Path) -> set[str]:
    """The names that headings of a Markdown page can be linked by."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [path for path in tracked() if path.suffix == ".md"], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists(), f"{page.relative_to(ROOT)}: {target}"
        if anchor and goal.suffix == ".md":
            assert anchor in anchors(goal), f"{page.relative_to(ROOT)}: {target}"


def test_makefile_targets_that_are_promised_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"dev", "test", "test-fast", "bench", "doctor", "down", "env", "recover", "lock"} <= targets
