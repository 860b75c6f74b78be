"""Whose lock `make recover` respects, and whose it clears."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands.recover import (
    Known,
    RecoverError,
    held,
    lock_folder,
    main,
    mend_attributes,
    refuse_elsewhere,
    refuse_strangers,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    path = lock_folder("dev")
    path.mkdir(parents=True)
    return path


def lock(folder: Path, **holder: Any) -> Path:
    path = folder / "a.json"
    told = {"username": "ada", "hostname": socket.gethostname(), "timestamp": "2026-11-21T06:00:00Z"}
    path.write_text(json.dumps(told | holder))
    return path


@pytest.fixture
def gone() -> int:
    """The process id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_dead_holders_lock_is_cleared_and_the_stack_is_held_meanwhile(folder: Path, gone: int) -> None:
    stale = lock(folder, pid=gone)
    with held("dev"):
        assert not stale.exists()
        (own,) = folder.glob("*.json")
        # What Pulumi shows to whoever runs `up` now.
        assert json.loads(own.read_text()).keys() == {"pid", "username", "hostname", "timestamp"}
    assert not list(folder.glob("*.json"))


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_lock_that_was_cut_short_is_cleared(folder: Path, content: str) -> None:
    (folder / "a.json").write_text(content)
    with held("dev"):
        pass
    assert not list(folder.glob("*.json"))


@pytest.mark.parametrize("holder", [{"pid": os.getpid()}, {"pid": 1, "hostname": "another-machine"}])
def test_a_living_holder_is_named_and_left_alone(folder: Path, holder: dict[str, Any]) -> None:
    path = lock(folder, **holder)
    told = rf"dev is held by ada@.*, process {holder['pid']}, since 2026-11-21T06"
    with pytest.raises(RecoverError, match=told), held("dev"):
        pytest.fail("the stack was taken over")
    assert list(folder.glob("*.json")) == [path]


def test_a_folders_locks_are_never_skipped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lock(folder, pid=os.getpid())
    assert main(["dev", "--cancelled"]) == 1
    assert "leave CANCELLED out" in capsys.readouterr().err
    assert path.exists()


def test_a_lock_that_may_not_be_read_is_an_error_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(folder, pid=os.getpid())

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(RecoverError, match=r"cannot read .*a\.json: Permission denied"), held("dev"):
        pytest.fail("the stack was taken over")


def test_a_second_recovery_at_the_same_time_is_refused(folder: Path) -> None:
    with held("dev"), pytest.raises(RecoverError, match="which still runs"), held("dev"):
        pytest.fail("two at once")
    with held("dev"):
        pass


@pytest.mark.parametrize("backend", ["", "s3://somewhere"])
def test_another_backend_is_refused_in_one_line(
    backend: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", backend)
    assert main(["dev"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "PULUMI_BACKEND_URL" in told
    assert "pulumi cancel" in told


def test_options_of_the_backend_are_not_part_of_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", os.environ["PULUMI_BACKEND_URL"] + "?no_tmp_dir=true")
    assert lock_folder("dev") == folder


def test_half_a_lock_is_never_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(RecoverError, match="No space left on device"), held("dev"):
        pytest.fail("the stack was not held")
    assert not list(folder.parent.rglob("*.*"))


def test_attributes_that_were_cut_short_go_and_whole_ones_stay(folder: Path, tmp_path: Path) -> None:
    stacks = tmp_path / ".pulumi" / "stacks" / "stele"
    stacks.mkdir(parents=True)
    (stacks / "dev.json.attrs").write_text("")
    (stacks / "dev.json.bak.attrs").write_text('{"md5":"+BBl7feO')
    (stacks / "development.json.attrs").write_text("")
    (stacks / "dev.json").write_text("{}")
    mend_attributes("dev")
    assert {path.name for path in stacks.iterdir()} == {"dev.json", "development.json.attrs"}
    (stacks / "dev.json.attrs").write_text('{"md5": null}')
    mend_attributes("dev")
    assert (stacks / "dev.json.attrs").exists()


class Engine:
    """As much of docker-py's client as is looked at before anything is removed."""

    def __init__(self, *services: str) -> None:
        found = [SimpleNamespace(id=f"id-{name}", name=name) for name in services]
        self.services = SimpleNamespace(list=lambda **_: found)


def test_services_of_another_or_a_newer_state_are_no_left_overs(folder: Path) -> None:
    known = Known(frozenset({"id-dev-intake-1"}), frozenset({"dev-intake-2"}))
    with pytest.raises(RecoverError, match=r"dev-intake-3 runs, but the state at .* does not know it"):
        refuse_strangers(Engine("dev-intake-1", "dev-intake-2", "dev-intake-3"), "dev", [], known)


def test_left_overs_of_this_state_are_told_apart(folder: Path) -> None:
    known = Known(frozenset({"id-dev-intake-1"}), frozenset({"dev-intake-2"}))
    refuse_strangers(Engine("dev-intake-1", "dev-intake-2"), "dev", [], known)


PULUMI = """\
#!/bin/sh
echo "$1" >>"$0.log"
case "$1 $2" in
"config get") test -n "$KIND" && echo "$KIND" ;;
"stack export") echo '{"deployment": {}}' ;;
esac
"""


@pytest.fixture
def pulumi(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is asked of a Pulumi that knows nothing but the stack's KIND; no engine answers."""
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(PULUMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    return program.with_suffix(".log")


@pytest.mark.parametrize("kind", ["cluster", "storage", "release"])
def test_a_stack_without_objects_in_an_engine_needs_none(
    pulumi: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("KIND", kind)
    assert main(["dev"]) == 0
    assert pulumi.read_text().split() == ["config", "refresh", "up"]


@pytest.mark.parametrize("kind", ["", "environment"])
def test_whatever_may_run_for_an_environment_is_looked_at_first_even_without_a_state(
    pulumi: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    monkeypatch.setenv("KIND", kind)
    assert main(["dev"]) == 1
    assert capsys.readouterr().err.startswith("recover: the Docker engine at tcp://127.0.0.1:1: ")
    assert "refresh" not in pulumi.read_text()


@pytest.mark.parametrize(("recorded", "here"), [("one", "one"), (None, "one"), ("one", None)])
def test_where_the_stack_is_is_where_it_is_looked_for(recorded: str | None, here: str | None) -> None:
    refuse_elsewhere(swarm_of(here), "dev", Known(frozenset(), frozenset(), recorded))


def test_at_another_engine_nothing_is_forgotten() -> None:
    with pytest.raises(RecoverError, match="DOCKER_HOST is Swarm two, and dev runs on Swarm one: export that of its"):
        refuse_elsewhere(swarm_of("two"), "dev", Known(frozenset(), frozenset(), "one"))


def swarm_of(identity: str | None) -> Any:
    """A client of an engine that manages this Swarm."""
    return SimpleNamespace(info=lambda: {"Swarm": {"Cluster": {"ID": identity} if identity else None}})
