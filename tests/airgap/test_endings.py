"""However an update ends, nothing of it is left running."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airgap.projects import Project

_LIMIT_SECONDS = 20.0
_WAITS = """
import os, time
print("program", os.getpid(), flush=True)
while not os.path.exists("go-on"):
    time.sleep(0.02)
print("went on")
"""
_WAITS_IN_PROVIDER = """
import os
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

class Slow(ResourceProvider):
    def create(self, props):
        import os, time
        with open(props["pipe"], "w") as pipe:
            pipe.write(str(os.getpid()))
        time.sleep(600)
        return CreateResult("one", props)

class Thing(Resource):
    def __init__(self, name, pipe):
        super().__init__(Slow(), name, {"pipe": pipe})

print("program", os.getpid(), flush=True)
Thing("thing", os.path.abspath("pipe"))
"""


def _program_id(update: subprocess.Popen[str]) -> int:
    """Reads the update's output up to the line in which the program says its process id."""
    assert update.stdout is not None
    for line in update.stdout:
        words = line.split()
        if "program" in words:
            return int(words[words.index("program") + 1])
    raise AssertionError("the program never started")


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _readable(descriptor: int) -> bool:
    """Waits for something to read, which for a pidfd is the end of its process; False when the limit passes."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(_LIMIT_SECONDS * 1000))


@pytest.fixture
def watched() -> Iterator[dict[int, int]]:
    """Process id -> pidfd; a pidfd keeps meaning the same process when ids are used again."""
    descriptors: dict[int, int] = {}
    yield descriptors
    for descriptor in descriptors.values():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)


def _watch(watched: dict[int, int], *processes: int) -> None:
    watched.update({process: os.pidfd_open(process) for process in processes})


def test_output_is_shown_while_the_program_runs(project: Project, watched: dict[int, int]) -> None:
    with project.running(_WAITS) as update:
        _watch(watched, _program_id(update))  # the program goes on only after its first line was read here
        (project.folder / "go-on").touch()
        assert update.stdout is not None
        assert "went on" in update.stdout.read()
    assert update.returncode == 0


def test_a_killed_engine_takes_host_and_program_with_it(project: Project, watched: dict[int, int]) -> None:
    with project.running(_WAITS) as update:
        program = _program_id(update)
        _watch(watched, program, _parent(program))
        update.kill()
        assert all(_readable(descriptor) for descriptor in watched.values())


def test_a_killed_engine_takes_its_plugins_with_it(project: Project, watched: dict[int, int]) -> None:
    os.mkfifo(project.folder / "pipe")
    pipe = os.open(project.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(pipe) as reader, project.running(_WAITS_IN_PROVIDER) as update:
        _watch(watched, _program_id(update))
        assert _readable(pipe), "the provider was never at work"
        _watch(watched, int(reader.read()))
        update.kill()
        assert all(_readable(descriptor) for descriptor in watched.values())


def test_an_interrupt_ends_the_program(project: Project, watched: dict[int, int]) -> None:
    with project.running(_WAITS) as update:
        program = _program_id(update)
        _watch(watched, program, _parent(program))
        update.send_signal(signal.SIGINT)
        assert update.stdout is not None
        shown = update.stdout.read()
        assert all(_readable(descriptor) for descriptor in watched.values())
    assert update.returncode != 0
    assert "Traceback" not in shown


def test_a_killed_host_takes_the_program_with_it(project: Project, watched: dict[int, int]) -> None:
    with project.running(_WAITS) as update:
        program = _program_id(update)
        _watch(watched, program)
        os.kill(_parent(program), signal.SIGKILL)
        assert _readable(watched[program])
        assert update.stdout is not None
        update.stdout.read()
    assert update.returncode != 0
