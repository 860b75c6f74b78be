"""Fixtures: the checkout under test, and throw-away projects in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.installer.layout import Checkout, this_checkout
from tests.airgap.projects import Project


@pytest.fixture(scope="session")
def checkout() -> Checkout:
    """This checkout, with its toolchain installed."""
    found = this_checkout()
    assert (found.bin / "pulumi").exists(), "the toolchain is not installed: run `airgap/install --dev`"
    return found


@pytest.fixture
def project(checkout: Checkout, tmp_path: Path) -> Project:
    """An empty project with a stack `dev`."""
    (tmp_path / "state").mkdir()
    project = Project(checkout, tmp_path)
    project.write("")
    created = project.pulumi("stack", "init", "dev")
    assert created.returncode == 0, created.stderr
    return project
