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
    "unknown key": ({"colour": "blue"}, "stele:colour: '(unknown key)' is not allowed; allowed: broker-password, "),
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
    summed_up = said.partition("Diagnostics:")[2].partition("Resources:")[0]
    errors = [line.strip() for line in summed_up.splitlines() if line.strip()][1:]  # the first names the stack
    assert len(errors) == 1, said
    assert errors[0].startswith(f"error: {told}"), said
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
