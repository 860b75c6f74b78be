"""What cannot be deployed stops `pulumi preview` with one line, before anything is created."""

from __future__ import annotations

from typing import Any

import pytest

from bench.lab.swarm import Swarm
from bench.lab.workspace import Stack, Workspace


@pytest.fixture(scope="module")
def settled(workspace: Workspace, factory: Stack) -> Stack:
    """An environment stack that was never deployed."""
    return workspace.environment("t-settings", version="900.0.0", port=18079)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"colour": "blue"},
            "stele:colour: '(unknown key)' is not allowed; allowed: broker-password, database-password,",
        ),
        ({"port": "http"}, "stele:port: 'http' is not allowed; allowed: a whole number from 1 to 65535"),
        ({"window": 2}, "stele:window: '2' is not allowed; allowed: a whole number from 5 to 3600"),
        ({"sizing": {"ledger": "XXL"}}, "stele:sizing:"),
        ({"version": "900"}, "stele:version: '900' is not allowed; allowed: MAJOR.MINOR.PATCH"),
        ({"version": "901.7.0"}, "stele:version: '901.7.0' is not published; published versions of orders: 900.0.0"),
        ({"runtimes": ["edge"]}, "stele:runtimes: "),
        ({"runtimes": ["printer"]}, "stele:runtimes: "),
        ({"dns": ["Not A Name"]}, "stele:dns: "),
        ({"database_password": "in-plain-text"}, "stele:database-password: '(in plain text)' is not allowed"),
    ],
)
def test_a_bad_setting_stops_preview_with_one_line(settled: Stack, settings: dict[str, Any], told: str) -> None:
    before = settled.file.read_text()
    try:
        settled.configure(**settings)
        done = settled.preview(check=False)
    finally:
        settled.file.write_text(before)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    lines = [line for line in said.splitlines() if "is not allowed" in line or "is not published" in line]
    assert len(lines) == 1, said
    assert told in lines[0]
    assert "Traceback" not in said
    assert "correct-horse" not in said


def test_nothing_was_created(settled: Stack) -> None:
    with Swarm(settled.name) as swarm:
        assert not any(swarm.everything().values())
    assert not [resource for resource in settled.resources() if resource["type"].startswith("docker:")]


def test_an_engine_that_does_not_answer_is_named(settled: Stack) -> None:
    nowhere = "unix:///run/no-engine-here.sock"
    arguments = ("up", "--yes", "--skip-preview", "-s", settled.name)
    done = settled.workspace.pulumi(*arguments, check=False, env={"DOCKER_HOST": nowhere}, limit=120)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "/run/no-engine-here.sock" in said, said
    assert "Traceback" not in said, said
