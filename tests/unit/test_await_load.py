"""Waiting for a task runner: its report, its reason when it gives up, and its steps as they happen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from docker.errors import NotFound

from commands import await_load
from commands.await_load import Waiting

STAMP = "2026-11-25T02:00:00.123Z "


class Service:
    """A service whose tasks and log are one moment further at each look; the last moment stays."""

    def __init__(self, *moments: tuple[list[str], list[str]]) -> None:
        self._moments = list(moments)
        self.began = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.123456789Z"

    def tasks(self) -> list[dict[str, Any]]:
        if len(self._moments) > 1:
            self._moments.pop(0)
        states = self._moments[0][0]
        # Later ones later: the engine gives them in no order.
        stamps = [f"{self.began[:19]}.{number:09d}Z" for number in range(len(states))]
        tasks = [
            {"ID": f"task-{number}", "CreatedAt": at, "Status": {"State": state, "Err": f"exit of task {number}"}}
            for number, (state, at) in enumerate(zip(states, stamps, strict=True))
        ]
        return tasks[::-1]

    def logs(self, **_: Any) -> Iterator[bytes]:
        text = "".join(f"{line}\n" for line in self._moments[0][1]).encode()
        return iter([text[:7], text[7:]])  # the engine cuts where it likes


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody sleeps: the clock goes on by what they wanted to."""
    now = [datetime.now(UTC).timestamp()]
    monkeypatch.setattr("commands.await_load.time.time", lambda: now[0])
    monkeypatch.setattr("commands.await_load.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


FIRST: tuple[list[str], list[str]] = ([], [])  # what nobody looks at: each look goes one further
STEPS = [f"{STAMP}step look", f"{STAMP}step find"]


def test_the_report_is_returned_and_each_line_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    report = '{"from": "vanilla 1.0.0"}'
    service = Service(
        FIRST,
        (["starting"], []),
        (["running"], STEPS[:1]),
        (["running"], STEPS),
        (["running"], [*STEPS, f"loaded: {report}"]),
    )
    assert Waiting(service).report() == report
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["step look", "step find"]
    assert shown.out == ""  # that is for the report alone


def test_one_failure_is_waited_out() -> None:
    failed = f"{STAMP}cannot start: http://store: connection refused"
    service = Service(FIRST, (["running"], [*STEPS, failed]), (["running"], [*STEPS, failed, *STEPS, "loaded: {}"]))
    assert Waiting(service).report() == "{}"


def test_two_failures_end_it_with_the_runners_last_reason() -> None:
    reasons = [f"{STAMP}cannot start: first", f"{STAMP}cannot start: backup X: it is damaged; choose another one"]
    with pytest.raises(RuntimeError, match=r"^backup X: it is damaged; choose another one$"):
        Waiting(Service(FIRST, (["running"], STEPS), (["running"], reasons))).report()


def test_reasons_from_before_are_passed_over() -> None:
    # The store was down, an `up` gave up, the store is back, and the same task loads now.
    before = [f"{STAMP}cannot start: the store is down", f"{STAMP}cannot start: the store is down"]
    at_work = (["running"], [*before, *STEPS])
    assert Waiting(Service(FIRST, at_work, at_work, (["running"], [*before, *STEPS, "loaded: {}"]))).report() == "{}"
    again = [f"{STAMP}cannot start: a", f"{STAMP}cannot start: b"]
    with pytest.raises(RuntimeError, match=r"^b$"):
        Waiting(Service(FIRST, at_work, (["running"], [*before, *again]))).report()


def test_tasks_that_end_at_once_end_it() -> None:
    service = Service(FIRST, (["failed", "running"], []), (["failed", "failed", "starting"], []))
    with pytest.raises(RuntimeError, match=r"^its tasks end at once: exit of task 1$"):
        Waiting(service).report()


@pytest.mark.parametrize(("states", "last"), [([], "there is none"), (["pending"], "pending")])
def test_a_task_that_never_begins_is_not_waited_for_for_ever(states: list[str], last: str, clock: list[float]) -> None:
    began = clock[0]
    with pytest.raises(RuntimeError, match=f"^no task of it runs within 120 s: {last}$"):
        Waiting(Service(FIRST, (states, []))).report()
    assert clock[0] - began == pytest.approx(120, abs=1)


def test_a_load_may_take_hours(clock: list[float]) -> None:
    at_work: list[tuple[list[str], list[str]]] = [(["running"], STEPS)] * 10_000
    began = clock[0]
    assert Waiting(Service(FIRST, *at_work, (["running"], ["loaded: {}"]))).report() == "{}"
    assert clock[0] - began > 3600


def test_a_service_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Services:
        def get(self, name: str) -> Any:
            raise NotFound(name)

    class Engine:
        services = Services()

    monkeypatch.setattr("commands.await_load.from_env", Engine)
    assert await_load.main("dev-backup-1") == 1
    assert capsys.readouterr().err == "dev-backup-1: there is no such service; pulumi up again\n"


def test_an_engine_that_goes_away_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone() -> Any:
        raise requests.ConnectionError("the engine is gone")

    monkeypatch.setattr("commands.await_load.from_env", gone)
    assert await_load.main("dev-backup-1") == 1
    assert capsys.readouterr().err == "dev-backup-1: the engine is gone\n"
