"""Every recorded configuration, check and plan, replayed against the offline plugins over gRPC: the same answers.

These need no engine, and the plugin under test has none.
"""

from __future__ import annotations

import copy

import pytest

from .plugin import Call, Json, Plugin, RefusedError, recorded, same_name

STATELESS = ("CheckConfig", "DiffConfig", "Configure", "Check", "Diff")


def replay(plugin: Plugin, call: Call) -> tuple[Json, tuple[str, ...]]:
    """The answer and the errors."""
    try:
        return plugin.call(call.method, call.request), ()
    except RefusedError as refused:
        return {}, (refused.text,)


def align(expected: Json, actual: Json) -> Json:
    """The expected answer with the random part of a fresh name, and the order of a Go map, as in the actual one."""
    expected = copy.deepcopy(expected)
    wanted, got = expected.get("inputs", {}), actual.get("inputs", {})
    if "name" in wanted.get("__defaults", ()) and same_name(wanted["name"], got.get("name", "")):
        wanted["name"] = got["name"]
    if "diffs" in expected:
        expected["diffs"] = sorted(expected["diffs"])
    return expected


@pytest.mark.parametrize("call", recorded(*STATELESS, plugin="docker"), ids=str)
def test_docker_answers_as_recorded(replayed_docker: Plugin, call: Call) -> None:
    response, errors = replay(replayed_docker, call)
    fresh = call.method == "Check" and not call.request.get("olds")
    assert (response, errors) == (align(call.response, response) if fresh else call.response, call.errors)


@pytest.mark.parametrize("call", recorded(*STATELESS, "Read", plugin="command"), ids=str)
def test_command_answers_as_recorded(command_plugin: Plugin, call: Call) -> None:
    response, errors = replay(command_plugin, call)
    assert (response, errors) == (align(call.response, response), call.errors)


def test_recordings_are_complete() -> None:
    """A recording that got lost must not make the tests above pass."""
    assert len(recorded(plugin="docker")) == 332
    assert len(recorded(plugin="command")) == 41
