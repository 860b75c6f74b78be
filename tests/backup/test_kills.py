"""SIGKILL at any moment of a backup or of a load costs that run, and nothing else.

Moments of each, spread over the run as it was measured before and a little beyond: of the task runner, of the
database, and of the store with its door. Every fourth time the next run is left alone, and must be complete.
STELE_KILL_POINTS is how many of each (20 for the figure in the notes).
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.backup.engine import Refused, wait_until
from tests.backup.site import Site, loaded, outcomes, serving

POINTS = int(os.environ.get("STELE_KILL_POINTS", "4"))  # not a multiple of seven
STACK: dict[str, Any] = {"captures": {"database": "database", "notify": "files"}}


@pytest.fixture(scope="module")
def site(sites: Callable[..., Site]) -> Site:
    """One with a backup."""
    made = sites("first", **STACK)
    made.start()
    made.add_orders("first", 3000)
    made.add_files("first", 20, 20_000)
    made.backup()
    return made


def moments(seconds: float) -> Iterator[tuple[int, float]]:
    """Number and delay of every kill, late and early ones in turn: each meets what another one left."""
    for number in range(POINTS):
        yield number, seconds * 1.05 * ((number * 7) % POINTS + 0.5) / POINTS


def told(what: str, victim: str, ends: Counter[str]) -> str:
    kills = ends["cut off"] + ends["complete all the same"]
    parts = ", ".join(f"{number} {name}" for name, number in sorted(ends.items()))
    return f"\nSIGKILL of the {victim} during a {what}: {kills} times ({parts}), nothing lost"


class Asked(threading.Thread):
    """A backup in the background."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        self.said, self.ok = "", False
        self.start()

    def run(self) -> None:
        try:
            self.said, self.ok = self.site.runner.run("/opt/stele/backup", "backup"), True
        except Exception as error:  # noqa: BLE001 - the container may go meanwhile; what remains is looked at after
            self.said = str(error)


def kill_runner(site: Site, _: Asked | None) -> None:
    site.runner.kill()
    site.restarted()


def kill_database(site: Site, _: Asked | None) -> None:
    site.database.kill()
    site.database.start()
    serving(site.database)


def kill_store(site: Site, until: Asked | None) -> None:
    """It is back at once, or when the backup has given up."""
    site.account.gateway.kill()
    if until is not None:
        until.join()
    site.account.gateway.start()


KILLS = {"task runner": kill_runner, "database": kill_database, "store": kill_store}


def verified(site: Site) -> list[str]:
    listed = site.runner.run("/opt/stele/backup", "list").splitlines()
    return [line.split()[0] for line in listed if " verified " in line]


@pytest.mark.parametrize("victim", KILLS)
def test_a_killed_backup_costs_nothing_else(site: Site, victim: str, capsys: pytest.CaptureFixture[str]) -> None:
    site.backup()
    began = time.monotonic()
    site.backup()
    seconds = time.monotonic() - began
    ends: Counter[str] = Counter()
    known = verified(site)
    for number, moment in moments(seconds):
        site.add_files(f"{victim[:3]}{number}", 1, 50_000)
        asked = Asked(site)
        time.sleep(moment)
        KILLS[victim](site, asked if number % 2 else None)
        asked.join()
        ends["complete all the same" if asked.ok else "cut off"] += 1
        assert asked.ok or "Traceback" not in asked.said, asked.said
        if number % 4 == 3:
            name = site.backup()["name"]
            ends["complete after"] += 1
            now = verified(site)
            assert set(known) <= set(now)
            assert now[-1] == name
            known = now
    content = site.content()
    name = site.backup()["name"]
    again = site.restore("again", restore=name)
    again.start()
    assert again.content() == content
    again.remove()
    with capsys.disabled():
        print(told("backup", victim, ends))


def cut_off(site: Site, victim: str, moment: float) -> bool:
    """One load that is disturbed; whether it was complete by then. The runner's container is new or starts again."""
    runner = site.start_runner()
    time.sleep(moment)
    if victim == "store":
        site.account.gateway.kill()
        try:
            wait_until("a reason or success", lambda: outcomes(runner), runner, limit=300)  # after every retry
        finally:
            site.account.gateway.start()
    elif victim == "database":
        site.database.kill()
        site.database.start()
    else:
        runner.kill()
    log = runner.log()
    assert "Traceback" not in log, log
    if victim == "database":
        loaded(runner)
        log = runner.log()
    done = "loaded: " in log
    assert done or "serving: owns" not in site.database.log(), "the database serves what is not complete"
    site.engine.remove(f"{site.name}-runner")
    return done


@pytest.mark.parametrize("victim", KILLS)
def test_a_killed_load_begins_again_and_nothing_is_served_before(
    site: Site, victim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = site.content()
    name = site.backup()["name"]
    again = site.restore("again", restore=name)
    again.start_database()
    report = again.load()
    seconds = report["seconds"] + 0.7  # what a container takes to begin
    ends: Counter[str] = Counter()
    whole(again, content)
    for number, moment in moments(seconds):
        if not again.folder.exists():
            again = site.restore("again", restore=name)
            again.start_database()
        done = cut_off(again, victim, moment)
        ends["complete all the same" if done else "cut off"] += 1
        if done or number % 4 == 3:
            if not done:
                again.load()
                ends["complete after"] += 1
            else:
                again.start_runner()
            whole(again, content)
    with capsys.disabled():
        print(told("load", victim, ends))


def whole(site: Site, content: dict[str, Any]) -> None:
    """It serves exactly what was backed up; then it goes."""
    serving(site.database)
    wait_until("the load", lambda: "loaded: " in site.runner.log(), site.runner)
    try:
        assert site.content() == content
    except Refused as refused:
        raise AssertionError(f"{refused}\n{site.database.log()}") from None
    site.remove()
