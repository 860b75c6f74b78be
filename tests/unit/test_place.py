"""The folder of an image: there whole or not at all, and nothing of other bakes is left beside it."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "packer"))  # a script's neighbours, not a package
import place
from disk import BakeError

from components import host_image


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where images go, with room for another."""
    monkeypatch.setattr(place, "room", lambda folder: None)
    return tmp_path


def leave(path: Path, lock: bool = True) -> Path:
    """What somebody left behind there: a bake that was killed, when there is a lock beside it."""
    path.mkdir()
    (path / "host.json").write_text("image")
    if lock:
        path.with_suffix(".lock").touch()
    return path


def make(out: Path, text: str = "image") -> None:
    """Bake something."""
    with place.locked(out), place.making(out) as work:
        (work / "host.json").write_text(text)


def names(folder: Path) -> list[str]:
    """What is there, without locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_what_was_made_is_there_whole(hosts: Path) -> None:
    make(hosts / "a")
    assert names(hosts) == ["a"]
    make(hosts / "a", "again")
    assert names(hosts) == ["a"]
    assert (hosts / "a/host.json").read_text() == "again"


@pytest.mark.parametrize("error", [BakeError, KeyboardInterrupt])
def test_a_bake_that_fails_leaves_nothing_but_what_was_there(
    hosts: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: str, __: str, work: str) -> None:
        (Path(work) / "base.raw").write_text("half")
        raise error

    make(hosts / "a")
    monkeypatch.setattr(place, "do", stop)  # the last program of a bake
    with pytest.raises(error):
        make(hosts / "a", "again")
    assert names(hosts) == ["a"]
    assert (hosts / "a/host.json").read_text() == "image"


def test_what_killed_bakes_left_is_cleared_before_room_is_asked_for(
    hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(hosts / "b")
    for name in ("a.making", "b.old", "c.making"):
        leave(hosts / name)
    monkeypatch.setattr(place, "room", lambda folder: seen.extend(names(folder)))
    seen: list[str] = []
    make(hosts / "a")
    assert seen == ["b"]


def test_what_is_being_made_and_what_is_not_of_a_bake_stays(hosts: Path) -> None:
    for name in ("b.making", "c.old"):  # the second is the only one that there is of its image
        leave(hosts / name)
    for name in ("d.making", "e.old", "e"):
        leave(hosts / name, lock=False)
    with (hosts / "b.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        make(hosts / "a")
    assert names(hosts) == ["a", "b.making", "c.old", "d.making", "e", "e.old"]


def test_a_release_looks_for_the_files_that_are_baked() -> None:
    assert host_image.FILES == place.FILES
