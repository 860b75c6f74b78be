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


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": (
        {"colour": "blue"},
        "stele:colour: '(unknown key)' is not allowed; allowed: cluster, dns, exposure, ",
    ),
    "port": ({"port": "http"}, "stele:port: 'http' is not allowed; allowed: a whole number from 1 to 65535"),
    "window": ({"window": 2}, "stele:window: '2' is not allowed; allowed: a whole number from 5 to 3600"),
    "sizing": ({"sizing": {"ledger": "XXL"}}, 'stele:sizing: \'{"ledger": "XXL"}\' is not allowed; allowed: S | M | L'),
    "version": ({"version": "900"}, "stele:version: '900' is not allowed; allowed: MAJOR.MINOR.PATCH"),
    "unknown version": (
        {"version": "901.7.0"},
        "stele:version: '901.7.0' is not published; published versions of orders: 900.0.0",
    ),
    "missing need": ({"runtimes": ["edge", "ledger"]}, 'stele:runtimes: \'["edge", "ledger"]\' is not allowed'),
    "unknown runtime": ({"runtimes": ["printer"]}, "stele:runtimes: 'printer' is not allowed; allowed: runtimes of "),
    "dns": ({"dns": ["Not A Name"]}, "stele:dns: '[\"Not A Name\"]' is not allowed; allowed: a list of DNS names"),
    "plain password": ({"database_password": "in-plain-text"}, "stele:database-password: '(in plain text)' is not "),
}


def errors_of(said: str) -> list[str]:
    """The lines of the CLI's summary of what went wrong."""
    summary = said.partition("Diagnostics:")[2].partition("Resources:")[0]
    return [line.strip() for line in summary.splitlines() if line.strip()][1:]  # the first names the stack


@pytest.mark.parametrize(("settings", "told"), BAD.values(), ids=BAD.keys())
def test_a_bad_setting_stops_preview_with_one_line(settled: Stack, settings: dict[str, Any], told: str) -> None:
    before = settled.file.read_text()
    try:
        settled.configure(**settings)
        done = settled.preview(check=False)
    finally:
        settled.file.write_text(before)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    (error,) = errors_of(said)
    assert error.startswith(f"error: {told}"), error
    assert "correct-horse" not in said


@pytest.mark.parametrize("name", ["Staging", "twenty-one-characters", "platform"])
def test_a_stack_name_that_cannot_work_stops_preview_with_one_line(
    workspace: Workspace, factory: Stack, name: str
) -> None:
    done = workspace.environment(name, version="900.0.0", port=18079).preview(check=False)
    assert done.returncode != 0
    (error,) = errors_of(done.stdout + done.stderr)
    assert error.startswith(f"error: stack '{name}' is not allowed; allowed: lower-case letters"), error


def test_nothing_was_created(settled: Stack) -> None:
    with Swarm(settled.name) as swarm:
        assert not any(swarm.everything().values())
    assert not [resource for resource in settled.resources() if resource["type"].startswith("docker:")]


def test_an_engine_that_does_not_answer_is_told_in_one_line(settled: Stack) -> None:
    nowhere = "unix:///run/no-engine-here.sock"
    for verb in (("preview",), ("up", "--yes", "--skip-preview")):
        done = settled.workspace.pulumi(*verb, "-s", settled.name, check=False, env={"DOCKER_HOST": nowhere}, limit=120)
        assert done.returncode != 0
        (told,) = errors_of(done.stdout)
        assert told.startswith(f"error: the Docker engine at {nowhere} (DOCKER_HOST) does not answer"), told
