"""What the task runner takes for the broker's answer, and what it leaves for the next backup."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

# A package of an image, not of the project.
sys.path.append(str(Path(__file__).parents[2] / "runtimes/task-runner"))
from runner import capture
from runner.files import read, walk
from runner.problem import Problem
from runner.settings import Settings, Volume

NAME, BEFORE = "2026-11-26T02-00-07Z", "2026-11-26T02-00-00Z"


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    """The broker's, as a backup that was killed has left it."""
    monkeypatch.setattr(capture, "DATA", tmp_path)
    monkeypatch.setattr(capture, "CAPTURED", tmp_path / "capture")
    made = Volume("broker", "messages", tmp_path / "broker")
    made.notes.mkdir(parents=True)
    (made.notes / "loaded").touch()
    (made.notes / "capture").write_text(json.dumps({"name": BEFORE}))
    answer(made, BEFORE, "old")
    (made.notes / "captured.jsonl").touch()  # as a release before this one called it
    return made


def answer(volume: Volume, name: str, *queues: str) -> None:
    lines = "".join(json.dumps({"queue": queue, "message": ""}) + "\n" for queue in queues)
    (volume.notes / f"captured-{name}.jsonl").write_text(lines)


def captured(volume: Volume, monkeypatch: pytest.MonkeyPatch, broker: Callable[[float], None]) -> dict[str, int]:
    """The messages of a backup for which ``broker`` acts whenever the runner waits."""
    monkeypatch.setattr(time, "sleep", broker)
    settings = Settings("shop", "shop", "newest", False, ZoneInfo("UTC"), {}, {}, None, (volume,), {})
    found: dict[str, int] = capture.capture(settings, NAME, {})[0]["messages"]
    return found


def test_only_the_answer_to_its_own_request_is_taken(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[set[str]] = []

    def broker(_: float) -> None:
        assert read(volume.notes / "capture") == {"name": NAME}
        waited.append({path.name for path in volume.notes.glob("captured*")})
        if len(waited) == 1:
            answer(volume, BEFORE, "old")  # it was about to when it was asked anew
        else:
            answer(volume, NAME, "orders", "notify", "orders")

    assert captured(volume, monkeypatch, broker) == {"orders": 2, "notify": 1}
    assert waited == [set(), {f"captured-{BEFORE}.jsonl"}]
    assert not (volume.notes / "capture").exists()
    assert not (volume.notes / f"captured-{NAME}.jsonl").exists()


def test_an_answer_of_before_is_none(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def broker(seconds: float) -> None:
        now[0] += seconds

    answer(volume, NAME, "old")  # of one that was killed within the same second
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with pytest.raises(Problem, match=r"^broker does not hand over its messages within 120 s; is it healthy\?$"):
        captured(volume, monkeypatch, broker)
    assert [path.name for path in volume.notes.iterdir()] == ["loaded"]


def test_files_are_those_of_all_folders(tmp_path: Path) -> None:
    (tmp_path / "deep/down").mkdir(parents=True)
    for name in ("top", "deep/one", "deep/down/two", "deep/three.tmp", ".stele-lock"):
        (tmp_path / name).touch()
    (tmp_path / "deep/link").symlink_to(tmp_path / "top")
    (tmp_path / "linked").symlink_to(tmp_path / "deep")
    assert {str(path.relative_to(tmp_path)) for path in walk(tmp_path)} == {"top", "deep/one", "deep/down/two"}


def test_a_folder_that_goes_meanwhile_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "deep/down").mkdir(parents=True)
    (tmp_path / "deep/one").touch()
    found = walk(tmp_path)
    assert next(found).name == "one"
    (tmp_path / "deep/down").rmdir()
    assert list(found) == []


def test_a_folder_that_cannot_be_read_stops_the_night(tmp_path: Path) -> None:
    (tmp_path / "volume/closed").mkdir(parents=True)
    (tmp_path / "volume/closed/file").touch()
    (tmp_path / "volume/closed").chmod(0)
    script = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from runner.files import walk\n"
    script += "print(list(walk(Path(sys.argv[2]))))"
    command = [sys.executable, "-c", script, str(Path(capture.__file__).parents[1]), str(tmp_path / "volume")]
    # Nothing is closed to root, unless it does without that privilege.
    less = "--bounding-set=-dac_override,-dac_read_search"
    user = ["setpriv", less, "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*user, *command], capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr
    assert "closed" in done.stderr
