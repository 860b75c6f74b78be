"""A copy of the project with a state of its own and the stack `prod`. The real CLI runs in it, and no Azure."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.lab import ground
from bench.lab.workspace import copy_project

from .state import deployed


@dataclass
class Project:
    """The copy."""

    folder: Path
    env: dict[str, str]

    def pulumi(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--stack", "prod", "--non-interactive"]
        return ground.run(*command, env=self.env, cwd=self.folder, check=False, stdin=stdin)

    def configure(self, **settings: str) -> None:
        """Edit the stack's settings file, which a user commits."""
        file = self.folder / "Pulumi.prod.yaml"
        document = yaml.safe_load(file.read_text())
        document["config"] |= {f"stele:{key}": value for key, value in settings.items()}
        file.write_text(yaml.safe_dump(document))

    def preview(self) -> dict[str, Any]:
        """The plan; the test fails when there is none."""
        done = self.pulumi("preview", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        plan: dict[str, Any] = json.loads(done.stdout)
        return plan


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return _project(tmp_path)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The plan of `prod` as it is committed."""
    return _project(tmp_path_factory.mktemp("planned")).preview()


@pytest.fixture
def up(project: Project, planned: dict[str, Any]) -> Project:
    """The project as it is once `prod` was brought up, without a lock."""
    done = project.pulumi("stack", "import", stdin=deployed(planned))
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def _project(root: Path) -> Project:
    copy_project(root / "project")
    (root / "state").mkdir()
    env = ground.toolchain() | {
        "PULUMI_BACKEND_URL": f"file://{root / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "for tests only",
    }
    made = Project(root / "project", env)
    done = made.pulumi("stack", "init", "--no-select")
    assert done.returncode == 0, done.stdout + done.stderr
    return made
