"""What the task runner decides by itself: when a backup is due, what health says, and what counts as a record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bench.lab.workspace import wait_until

# A package of an image, not of the project.
sys.path.append(str(Path(__file__).parents[2] / "runtimes/task-runner"))
from runner import load, management, night, pacing, serve, store
from runner.files import write
from runner.problem import Problem, of_the_disk
from runner.settings import Settings, Volume
from runner.versions import _moment

SETTINGS = Settings("shop", "shop", "newest", False, ZoneInfo("UTC"), {}, {}, None, (), {})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("zone", "now", "last", "following"),
    [
        ("UTC", "2026-11-26T01:59:59Z", "2026-11-25T02:00Z", "2026-11-26T02:00Z"),
        ("UTC", "2026-11-26T02:00:00Z", "2026-11-26T02:00Z", "2026-11-27T02:00Z"),
        ("Europe/Amsterdam", "2026-07-01T00:30Z", "2026-07-01T00:00Z", "2026-07-02T00:00Z"),
        # 02:00 does not come on 28 March 2027: an hour after 01:00 it is 03:00.
        ("Europe/Amsterdam", "2027-03-28T00:30Z", "2027-03-27T01:00Z", "2027-03-28T01:00Z"),
        ("Europe/Amsterdam", "2027-03-28T01:30Z", "2027-03-28T01:00Z", "2027-03-29T00:00Z"),
        # It comes twice on 31 October 2027: the first one counts, during the second one too.
        ("Europe/Amsterdam", "2027-10-31T00:30Z", "2027-10-31T00:00Z", "2027-11-01T01:00Z"),
        ("Europe/Amsterdam", "2027-10-31T01:30Z", "2027-10-31T00:00Z", "2027-11-01T01:00Z"),
        # Where summer time begins at midnight, and half an hour only.
        ("America/Santiago", "2027-09-05T12:00Z", "2027-09-05T05:00Z", "2027-09-06T05:00Z"),
        ("Australia/Lord_Howe", "2027-04-03T18:00Z", "2027-04-03T15:30Z", "2027-04-04T15:30Z"),
        ("Pacific/Kiritimati", "2026-11-26T11:00Z", "2026-11-25T12:00Z", "2026-11-26T12:00Z"),
    ],
)
def test_a_backup_is_due_at_two_whatever_the_clocks_do(zone: str, now: str, last: str, following: str) -> None:
    settings = replace(SETTINGS, zone=ZoneInfo(zone))
    assert serve.last_due(settings, at(now)).astimezone(UTC) == at(last)
    assert serve.next_due(settings, at(now)).astimezone(UTC) == at(following)


class Ended(BaseException):
    """The runner would sleep until the next night now."""


@pytest.fixture
def backups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The backups that were begun; the second long sleep ends the runner."""
    begun: list[str] = []
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 1:
            raise Ended

    def paced(command: Sequence[str], _: Path) -> int:
        begun.append(command[-1])
        return 0

    monkeypatch.setattr(serve, "DATA", tmp_path)
    monkeypatch.setattr(night, "STATUS", tmp_path / "status.json")
    monkeypatch.setattr(serve, "paced", paced)
    monkeypatch.setattr(time, "sleep", sleep)
    return begun


@pytest.mark.parametrize(("hours", "fenced", "expected"), [(49, False, 1), (0, False, 0), (49, True, 0)])
def test_a_missed_night_is_made_up_for(
    backups: list[str], tmp_path: Path, hours: int, *, fenced: bool, expected: int
) -> None:
    write(tmp_path / "status.json", {"success": datetime.now(UTC).timestamp() - 3600 * hours})
    with pytest.raises(Ended):
        serve.nights(replace(SETTINGS, fenced=fenced))
    assert len(backups) == expected


@pytest.mark.parametrize("error", [None, OSError(28, "No space left on device", "/data/capture")])
def test_a_failed_night_is_tried_again(
    backups: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError | None
) -> None:
    def fail(*_: object) -> int:
        if error:
            raise error
        return 1

    monkeypatch.setattr(serve, "paced", fail)
    with pytest.raises(Ended):
        serve.nights(SETTINGS)
    said = capsys.readouterr().out
    assert "the backup is tried again in an hour" in said
    assert ("/data/capture: No space left on device; make room" in said) == bool(error)


def test_a_paced_program_stands_still_with_all_that_it_started() -> None:
    # The grandchild has a session of its own, as PostgreSQL's processes have.
    child = "import os, subprocess, sys; subprocess.Popen(['sleep', '987'], start_new_session=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE)
    try:
        while len(family := [each.pid for each in pacing._family(process.pid)]) < 2:
            time.sleep(0.01)
        assert [each.pid for each in pacing._stop(process.pid)] == family
        while states(family) != {"T"}:
            time.sleep(0.01)
    finally:
        for each in pacing._family(process.pid):
            os.kill(each.pid, signal.SIGKILL)
        process.communicate()


def states(pids: list[int]) -> set[str]:
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] for pid in pids}


def noted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[list[int]]:
    """The numbers of those whom a function of the pacing was about, each time."""
    found: list[list[int]] = []
    true = getattr(pacing, name)

    def noting(root: int) -> list[pacing.Process]:
        family: list[pacing.Process] = true(root)
        found.append([each.pid for each in family])
        return family

    monkeypatch.setattr(pacing, name, noting)
    monkeypatch.setattr(pacing, "LEAST", 0.1)  # however busy this machine is
    return found


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Whom the pacing has stopped, each time."""
    return noted(monkeypatch, "_stop")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Whom the pacing has found, each time."""
    return noted(monkeypatch, "_family")


def test_a_share_of_what_is_idle_may_be_taken_and_little_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, there, now = [100.0], [1000.0], [50.0]
    monkeypatch.setattr(pacing, "_processor_time", lambda: (idle[0], there[0]))
    monkeypatch.setattr(pacing, "monotonic", lambda: now[0])
    monkeypatch.setattr(pacing, "process_time", lambda: 0.0)

    def spent(seconds: float, taken: float) -> bool:
        """After both processors were idle for so long, and so much was taken in all."""
        idle[0] += 2 * seconds
        return allowance.is_spent([pacing.Process(1, 0), pacing.Process(2, round(taken * pacing.TICKS))])

    allowance = pacing._Allowance()
    assert not spent(1, 0.04)
    assert spent(0, 0.06)
    assert spent(0.1, 0.06)
    assert not spent(0.2, 0.06)
    assert not spent(1000, 0.20)  # of which a tenth of a second is kept
    assert spent(0, 0.32)
    now[0] += 2 * pacing.DOUBLES
    assert not spent(0.2, 0.32)  # four times as much
    assert spent(0, 0.50)
    there[0] += 40  # and nothing was idle
    assert not spent(0, 0.50)
    assert spent(0, 0.55 + 4 * pacing.LEAST * 40)
    there[0] += 40
    assert not spent(0, 0.55 + 4 * pacing.LEAST * 40)  # four times as much there too


def test_what_was_taken_in_a_hurry_is_not_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_processor_time", lambda: (100.0, 1000.0))
    monkeypatch.setattr(pacing, "process_time", lambda: 0.0)
    allowance, ticks = pacing._Allowance(), round(60 * pacing.TICKS)
    allowance.forgive([pacing.Process(1, ticks)])
    assert not allowance.is_spent([pacing.Process(1, ticks)])
    assert allowance.is_spent([pacing.Process(1, ticks + 1)])


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("hurry", [False, True])
def test_a_paced_program_ends_as_it_would(tmp_path: Path, stops: list[list[int]], code: int, *, hurry: bool) -> None:
    if hurry:
        (tmp_path / "hurry").touch()
    busy = f"import sys, time\nwhile time.process_time() < 0.05: pass\nsys.exit({code})"
    assert pacing.paced([sys.executable, "-c", busy], tmp_path / "hurry") == code
    assert bool(stops) == (not hurry)


@pytest.mark.parametrize("hurry", [False, True])
def test_what_a_killed_program_started_ends_too(tmp_path: Path, looks: list[list[int]], *, hurry: bool) -> None:
    if hurry:
        (tmp_path / "hurry").touch()
    child = "import os, subprocess, time; subprocess.Popen(['sleep', '986'], start_new_session=True); time.sleep(986)"
    killer = threading.Thread(target=kill_the_first_of, args=[looks])
    killer.start()
    assert pacing.paced([sys.executable, "-c", child], tmp_path / "hurry") == -signal.SIGKILL
    killer.join()
    wait_until("the end of all", lambda: not any(alive(pid) for pid in looks[-1]), 30)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and states([pid]) != {"Z"}


def kill_the_first_of(looks: list[list[int]]) -> None:
    """As soon as it has started another one."""
    while not looks or len(looks[-1]) < 2:
        time.sleep(0.01)
    os.kill(looks[-1][0], signal.SIGKILL)


def test_orphans_that_have_ended_are_collected() -> None:
    if not (orphan := os.fork()):
        os._exit(0)
    wait_until("its end", lambda: states([orphan]) == {"Z"}, 30)
    seen = serve.reap(set())
    assert orphan in seen
    assert Path(f"/proc/{orphan}").exists()
    assert orphan not in serve.reap(seen)
    assert not Path(f"/proc/{orphan}").exists()


@pytest.mark.parametrize(
    ("known", "wanted", "new"),
    [
        (["database", "notify"], ["index"], ["index"]),
        (["database", "notify"], ["index", "notify"], ["index"]),
        (["database", "notify"], ["notify"], []),
        (None, ["index"], []),  # a record of before, which does not say
    ],
)
def test_volumes_that_no_backup_knows_are_new(known: list[str] | None, wanted: list[str], new: list[str]) -> None:
    """They begin as in a new installation, and nothing of them was lost."""
    found = load.Load.__new__(load.Load)
    found.record = {} if known is None else {"volumes": known}
    found.wanting = [Volume(name, "files", Path()) for name in wanted]
    assert [volume.name for volume in found._new()] == new


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ("yellow", "there is no backup yet")),
        ({"success": 1000, "reason": ""}, ("green", "the last backup is 1:00:00 old")),
        ({"success": 1000, "reason": "the disk is full"}, ("yellow", "the last backup failed: the disk is full")),
        ({"success": 4600 - 26 * 3600 - 1, "reason": ""}, ("yellow", "the last backup is 1 day, 2:00:01 old")),
        (
            {"success": 4600 - 26 * 3600 - 1, "finished": 4600 - 24 * 3600, "reason": ""},
            ("green", "the last backup is 1 day, 2:00:01 old"),
        ),
    ],
)
def test_health(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: dict[str, Any], expected: tuple[str, str]
) -> None:
    for module in (management, night):
        monkeypatch.setattr(module, "STATUS", tmp_path / "status.json")
    write(tmp_path / "status.json", status)
    assert management.health(4600) == expected
    assert f"stele_backup_healthy {int(expected[0] == 'green')}\n" in management.metrics(4600)


def test_a_versions_moment_is_in_its_id_or_its_date() -> None:
    assert _moment("01M8AP7HG8JH7X89BGEQFNCR3Z", "2030-01-01T00:00:00Z").replace(microsecond=0) == at(
        "2026-11-26T01:06:30Z"
    )
    assert _moment("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY", "2026-11-26T01:06:34.000Z") == at("2026-11-26T01:06:34Z")


def test_a_failure_that_cannot_be_noted_is_no_success(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (management, night):
        monkeypatch.setattr(module, "STATUS", tmp_path / "status.json")
    write(tmp_path / "status.json", {"success": 1e9, "reason": ""})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "status.json")

    monkeypatch.setattr(night, "write", full)
    night._remember_failure({"result": "failed", "reason": "no", "name": "x"}, 1)
    assert management.health(1e9 + 60)[0] == "yellow"


def test_a_full_disk_is_told_with_its_mend() -> None:
    problem = of_the_disk(OSError(28, "No space left on device", "/data/capture"))
    assert isinstance(problem, Problem)
    assert str(problem) == "/data/capture: No space left on device; make room"


@pytest.mark.parametrize(
    ("copying", "listing", "expected"),
    [
        (
            "exec sleep 987",
            "echo 'no such host' >&2; exit 1",
            "no such host: the store's name is unknown; mend the address",
        ),
        ("exec sleep 987", "exec sleep 987", "http://store, stele-acme: the store does not answer within 1 s"),
        ("exec sleep 987", "echo '[]'", None),
        ("echo InternalError >&2; exit 1", "echo '[]'", None),
        ('for i in 1 2 3 4; do printf more >> "$folder/object"; sleep 1; done', "exit 1", None),
        (
            "echo 'Failed to copy: AccessDenied' >&2; exit 1",
            "echo '[]'",
            "AccessDenied: the account's keys do not allow",
        ),
    ],
)
def test_a_copy_goes_on_as_long_as_something_arrives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, copying: str, listing: str, expected: str | None
) -> None:
    (tmp_path / "bin").mkdir()
    rclone, copied = tmp_path / "bin/rclone", tmp_path / "copied"
    first = """[ -e $0.asked ] || { touch $0.asked; echo '[{"Path": "object", "Size": 99}]'; exit; }"""
    rclone.write_text(f"#!/bin/bash\nfolder={copied}\ncase $1 in copy) {copying} ;; *) {first}; {listing} ;; esac\n")
    rclone.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(store, "STALLED", 2)
    monkeypatch.setattr(store, "LISTED", 1)
    monkeypatch.setattr(store, "secret", lambda name: name)
    account = store.Store({"endpoint": "http://store", "bucket": "stele-acme", "access_key": "stele-acme"})
    if expected is None:
        account.fetch("backups", ["object", "another"], copied, largest=99)
    else:
        with pytest.raises(Problem, match=expected):
            account.fetch("backups", ["object"], copied, largest=99)
    assert [path.read_text() for path in copied.iterdir()] == ["more" * 4] * ("more" in copying)


def test_what_is_too_large_is_not_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = [{"Path": "object", "Size": 100}, {"Path": "other", "Size": 1}]
    monkeypatch.setattr(store, "secret", lambda name: name)
    monkeypatch.setattr(store.Store, "list", lambda *_: listed)
    monkeypatch.setattr(store.Store, "_copy", lambda *_: pytest.fail("nothing that is there is wanted"))
    account = store.Store({"endpoint": "http://store", "bucket": "stele-acme", "access_key": "stele-acme"})
    account.fetch("backups", ["object", "another"], tmp_path / "copied", largest=99)
    assert not (tmp_path / "copied").exists()


def test_a_success_of_the_future_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (management, night):
        monkeypatch.setattr(module, "STATUS", tmp_path / "status.json")
    write(tmp_path / "status.json", {"success": 1e9 + 90 * 86400, "reason": ""})
    assert management.health(1e9) == ("yellow", "there is no backup yet")
    assert night.last_success(1e9) == 0
