"""Parts and supervisor killed with SIGKILL: everything comes back once, with its data."""

from __future__ import annotations

import os
import re
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from .machine import Checkout, eventually
from .test_up import greetings, start_pair

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("part", ["registry", "buildkit", "store", "door", "sealer", "engine"])
def test_killed_part_is_restarted(shared: Checkout, part: str) -> None:
    before = shared.pids()
    os.kill(before[part], signal.SIGKILL)
    eventually(lambda: shared.pids()[part] != before[part], f"{part} has a new process")
    eventually(lambda: shared.local("status").returncode == 0, "all parts are healthy")
    others = {name: pid for name, pid in shared.pids().items() if name != part}
    assert others == {name: pid for name, pid in before.items() if name != part}


def test_hung_part_is_restarted(shared: Checkout) -> None:
    before = shared.pids()["registry"]
    os.kill(before, signal.SIGSTOP)
    eventually(lambda: shared.pids()["registry"] != before, "the registry has a new process")
    eventually(lambda: shared.local("status").returncode == 0, "all parts are healthy")


def test_killed_supervisor_takes_nothing_along_and_is_replaced(shared: Checkout) -> None:
    before = shared.pids()
    os.kill(before["supervisor"], signal.SIGKILL)
    eventually(lambda: shared.local("status").returncode == 1, "status tells that the supervisor is gone")
    assert "supervisor: not running" in shared.local("doctor").stdout
    shared.up()
    after = shared.pids()
    assert after.pop("supervisor") != before.pop("supervisor")
    assert after == before
    os.kill(after["registry"], signal.SIGKILL)
    eventually(lambda: shared.pids()["registry"] != after["registry"], "the new supervisor restarts an adopted part")


def test_lost_records_do_not_duplicate_parts(shared: Checkout) -> None:
    before = shared.pids()
    run = Path(shared.env()["STELE_RUN"])
    for name in before:
        (run / f"{name}.json").unlink()
    shared.up()
    after = shared.pids()
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} <= {"supervisor"}
    lines = shared.processes()
    assert sum(" supervise " in line for line in lines) == 1, lines


def test_services_and_volumes_survive_a_killed_engine_and_a_reboot(checkout: Checkout) -> None:
    checkout.up()
    start_pair(checkout)
    eventually(lambda: greetings(checkout) > 0, "the client hears the server")
    server = checkout.docker("ps", "--quiet", "--filter", "name=server")
    checkout.docker("exec", server, "/bin/bash", "-c", "echo written > /data/word")

    engine = checkout.pids()["engine"]
    os.kill(engine, signal.SIGKILL)
    eventually(lambda: checkout.pids()["engine"] != engine, "the engine has a new process")
    _expect_everything_back(checkout)

    kill_everything(checkout)
    shutil.rmtree(checkout.env()["STELE_RUN"], ignore_errors=True)
    checkout.up()
    _expect_everything_back(checkout)
    assert sum("/dockerd " in line for line in checkout.processes()) == 1


def _expect_everything_back(checkout: Checkout) -> None:
    checkout.up()
    heard = greetings(checkout)
    eventually(lambda: greetings(checkout) > heard, "the services talk again")
    server = checkout.docker("ps", "--quiet", "--filter", "name=server")
    assert checkout.docker("exec", server, "/bin/cat", "/data/word") == "written"


def kill_everything(checkout: Checkout) -> None:
    """SIGKILL to supervisor, daemons, shims and containers, as a power cut does; mounts stay behind.

    Again until nothing is left: what starts while one look goes round (a part that the supervisor
    restarts, a task of the swarm) is not in that look.
    """

    def is_dead() -> bool:
        running = _running(checkout)
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not running

    eventually(is_dead, "all are dead")


def _running(checkout: Checkout) -> list[int]:
    """Everything that runs for a checkout: by its command line, or by its container's cgroup."""
    marks = (str(checkout.folder), checkout.env()["STELE_RUN"])
    containers = {path.name for path in (checkout.folder / ".stele/data/engine/containers").iterdir()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode()
            groups = set(re.findall(r"[0-9a-f]{64}", (folder / "cgroup").read_text()))
        except OSError:
            continue
        if folder.name != str(os.getpid()) and (any(mark in line for mark in marks) or groups & containers):
            found.append(int(folder.name))
    return sorted(found)
