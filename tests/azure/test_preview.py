"""`pulumi preview` of the stack `prod` with the offline plugin: the reviewed plan, and what later changes do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .conftest import Project
from .plan import name_of, readable

PLAN = Path(__file__).with_name("prod-plan.txt")
REFRESH = "STELE_REFRESH_PLAN"
POLICY = "immutableStorageWithVersioning.immutabilityPolicy"


def test_the_plan_of_prod_is_the_reviewed_one(planned: dict[str, Any]) -> None:
    found = readable(planned)
    if os.environ.get(REFRESH):
        PLAN.write_text(found)
    assert found == PLAN.read_text(), (
        f"if this is meant: {REFRESH}=yes .venv/bin/pytest tests/azure, and review the file"
    )


def changes(preview: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The steps of one kind (create, update, replace, delete) for Azure's resources, by name."""
    return {
        name_of(step["urn"]): step for step in preview["steps"] if step["op"] == kind and "azure-native:" in step["urn"]
    }


def test_a_second_up_changes_nothing(up: Project) -> None:
    done = up.pulumi("preview", "--expect-no-changes", "--color", "never")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_up_with_a_lock_says_that_it_takes_another(project: Project) -> None:
    project.configure(lock="true")
    done = project.pulumi("preview", "--color", "never", "--diff")
    assert "this `pulumi up` makes the account of acme unlocked, the next one locks it" in done.stdout + done.stderr
    assert '"Unlocked"' in done.stdout
    assert '"Locked"' not in done.stdout


def test_the_second_up_locks_in_place_and_protects_from_deletion(up: Project) -> None:
    up.configure(lock="true")
    plan = up.preview()
    assert {name: list(step["detailedDiff"]) for name, step in changes(plan, "update").items()} == {
        "acme-account": [f"{POLICY}.state"],
        "acme-vendor-account": [f"{POLICY}.state"],
    }
    assert not changes(plan, "replace")
    kept = {name_of(step["urn"]) for step in plan["steps"] if (step.get("newState") or {}).get("protect")}
    for part in ("group", "account", "blobs", "container", "lock"):
        assert {f"acme-{part}", f"acme-vendor-{part}"} <= kept


def test_another_region_is_another_account(up: Project) -> None:
    up.configure(location="northeurope")
    assert {"acme-group", "acme-account", "acme-container"} <= set(changes(up.preview(), "replace"))


def test_up_is_refused_with_the_command_that_installs_the_official_plugin(project: Project) -> None:
    done = project.pulumi("up", "--yes", "--skip-preview", "--color", "never")
    assert done.returncode != 0
    assert "pulumi plugin install resource azure-native v3" in done.stdout + done.stderr
