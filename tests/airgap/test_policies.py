"""Policy packs in Python, which the language host runs for the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.airgap.projects import Project

_PACK = """
import pulumi
from pulumi_policy import EnforcementLevel, PolicyPack, StackValidationPolicy

def check(stack, report):
    limit = pulumi.Config("trial").require_int("limit")
    if limit > 3:
        report(f"limit {limit} of stack {pulumi.get_stack()} in {pulumi.get_project()} is above 3")

PolicyPack(
    name="limits",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[StackValidationPolicy(name="limit", description="keeps it small", validate=check)],
)
"""


@pytest.fixture
def pack(project: Project) -> Path:
    """A mandatory policy on the stack's configuration."""
    folder = project.folder / "pack"
    folder.mkdir()
    environment = project.checkout.venv
    (folder / "PulumiPolicy.yaml").write_text(
        f"runtime:\n  name: python\n  options:\n    virtualenv: {environment}\nmain: .\n"
    )
    (folder / "__main__.py").write_text(_PACK)
    return folder


def test_a_mandatory_policy_sees_the_configuration_and_stops_the_update(project: Project, pack: Path) -> None:
    project.pulumi("config", "set", "limit", "4", "--stack", "dev")
    done = project.up("import pulumi\n", "--policy-pack", str(pack))
    assert done.returncode != 0
    assert "limit 4 of stack dev in trial is above 3" in done.stdout


def test_a_policy_that_is_kept_lets_the_update_through(project: Project, pack: Path) -> None:
    project.pulumi("config", "set", "limit", "3", "--stack", "dev")
    done = project.up("import pulumi\n", "--policy-pack", str(pack))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_pack_that_does_not_start_is_an_error(project: Project, pack: Path) -> None:
    (pack / "__main__.py").write_text("raise ValueError('broken pack')\n")
    done = project.up("import pulumi\n", "--policy-pack", str(pack))
    assert done.returncode != 0
    assert f"error: the policy pack in {pack} did not start: ValueError: broken pack" in done.stdout + done.stderr
