"""Programs under the real CLI and the offline language host."""

from __future__ import annotations

import json
import shlex

from tests.airgap.projects import Project


def test_outputs_configuration_and_names_reach_the_program(project: Project) -> None:
    project.pulumi("config", "set", "greeting", "hello", "--stack", "dev")
    project.pulumi("config", "set", "--secret", "token", "tEsT-sEcReT", "--stack", "dev")
    done = project.up(
        """
import os, sys
import pulumi
config = pulumi.Config()
pulumi.export("greeting", config.require("greeting"))
pulumi.export("token", config.require_secret("token"))
pulumi.export("names", [pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack()])
pulumi.export("directory", os.getcwd())
pulumi.export("leaked", [name for name, value in os.environ.items() if "tEsT-sEcReT" in value])
"""
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = json.loads(project.pulumi("stack", "output", "--json", "--show-secrets", "--stack", "dev").stdout)
    assert outputs == {
        "greeting": "hello",
        "token": "tEsT-sEcReT",
        "names": ["organization", "trial", "dev"],
        "directory": str(project.folder),
        "leaked": [],
    }
    assert "tEsT-sEcReT" not in done.stdout + done.stderr


def test_an_exception_shows_the_users_frames_only(project: Project) -> None:
    done = project.up("def declare():\n    raise ValueError('size 7')\n\ndeclare()\n")
    assert done.returncode != 0
    assert f'File "{project.folder}/__main__.py", line 2, in declare' in done.stdout
    assert "ValueError: size 7" in done.stdout
    assert "executor.py" not in done.stdout
    assert "non-zero exit code" not in done.stdout


def test_a_run_error_is_one_line_without_a_trace(project: Project) -> None:
    done = project.up("import pulumi\nraise pulumi.RunError('sizing: XXL; allowed are S, M, L')\n")
    assert done.returncode != 0
    assert "error: sizing: XXL; allowed are S, M, L\n" in done.stdout
    assert "Traceback" not in done.stdout
    assert "non-zero exit code" not in done.stdout


def test_a_file_that_does_not_parse_says_where(project: Project) -> None:
    done = project.up("def broken(:\n")
    assert done.returncode != 0
    assert f'File "{project.folder}/__main__.py", line 1' in done.stdout
    assert "executor.py" not in done.stdout


def test_an_exit_code_of_the_programs_own_is_reported(project: Project) -> None:
    done = project.up("raise SystemExit(3)\n")
    assert done.returncode != 0
    assert "program exited with non-zero exit code: 3" in done.stdout


def test_a_failure_inside_apply_fails_the_update(project: Project) -> None:
    done = project.up("import pulumi\npulumi.export('x', pulumi.Output.from_input(0).apply(lambda n: 1 // n))\n")
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stdout


def test_no_warning_about_where_plugins_come_from(project: Project) -> None:
    done = project.up("import pulumi\n")
    assert done.returncode == 0
    assert "warning" not in (done.stdout + done.stderr).lower()


def test_the_virtualenv_option_chooses_the_interpreter(project: Project) -> None:
    """A stand-in environment whose python notes that it was asked, then runs the real one."""
    folder = project.folder / "venv" / "bin"
    folder.mkdir(parents=True)
    asked, real = (shlex.quote(str(p)) for p in (project.folder / "asked", project.checkout.python))
    (folder / "python").write_text(f'#!/bin/sh\necho "$0" >> {asked}\nexec {real} "$@"\n')
    (folder / "python").chmod(0o755)
    project.options["virtualenv"] = "venv"
    done = project.up("import os, pulumi\npulumi.export('environment', os.environ['VIRTUAL_ENV'])\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(folder / "python") in (project.folder / "asked").read_text()
    shown = project.pulumi("stack", "output", "environment", "--stack", "dev").stdout
    assert shown.strip() == str(project.folder / "venv")


def test_dynamic_providers_work(project: Project) -> None:
    done = project.up(
        """
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

class Doubling(ResourceProvider):
    def create(self, props):
        return CreateResult("one", {**props, "double": props["number"] * 2})

class Number(Resource):
    double: pulumi.Output[int]

    def __init__(self, name, number):
        super().__init__(Doubling(), name, {"number": number, "double": None})

pulumi.export("double", Number("number", 21).double)
"""
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.pulumi("stack", "output", "double", "--stack", "dev").stdout.strip() == "42"
