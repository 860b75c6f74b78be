"""SIGKILL at any moment of a backup or of a load costs that run, and nothing else.

Moments of each, spread over the run as it was measured before and a little beyond: of the task runner, of the
database (of a load: the PostgreSQL that the runner loads it with), and of the store with its door. Every fourth time
the next run is left alone, and must be complete. Then, of broker and runner while messages are handed over, and of the
broker while it takes them in. STELE_KILL_POINTS is how many of each (20 for the figure in the notes), half as many
where a broker starts each time.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.backup.engine import Box, Refused, wait_until
from tests.backup.site import Site, outcomes, serving

POINTS = int(os.environ.get("STELE_KILL_POINTS", "4"))
FEW = max(2, POINTS // 2)  # a JVM starts at each
STACK: dict[str, Any] = {"captures": {"database": "database", "notify": "files"}}
LETTERS: dict[str, Any] = {"stack": "letters", "captures": {"broker": "messages"}}
QUEUES = {"orders": "orders", "orders.stored": "orders.stored::notify"}  # where to send, and where to look
NOTES = "/data/volumes/broker/.stele"  # as the runner sees it
LOADS = ("task runner", "runner's PostgreSQL", "store")


@pytest.fixture(scope="module")
def site(sites: Callable[..., Site]) -> Site:
    """One with a backup."""
    made = sites("first", **STACK)
    made.start()
    made.add_orders("first", 3000)
    made.add_files("first", 20, 20_000)
    made.backup()
    return made


@pytest.fixture(scope="module")
def letters(sites: Callable[..., Site]) -> Site:
    """One with messages, so many that handing them over and taking them in can be met."""
    made = sites("letters", **LETTERS)
    made.start()
    for queue in QUEUES:
        made.send("first", 3500, 1000, queue=queue)
    made.backup()
    return made


def moments(seconds: float, points: int = POINTS) -> Iterator[tuple[int, float]]:
    """Number and delay of every kill, late and early ones in turn: each meets what another one left."""
    step = 7 if points % 7 else 11
    for number in range(points):
        yield number, seconds * 1.05 * ((number * step) % points + 0.5) / points


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
    assert ends["cut off"] or (victim != "task runner" and POINTS < 20), "no kill was in time"
    with capsys.disabled():
        print(told("backup", victim, ends))


def test_a_killed_databases_number_may_be_somebody_elses_now(site: Site) -> None:
    rows = site.rows()
    site.database.kill()
    site.database.start()
    # What it says until then is its predecessor's word.
    wait_until("its rehearsal", lambda: site.database.run("cat", "/run/stele/phase").startswith("starting"))
    # Whoever lives in the new container has the number that the killed one left behind.
    site.database.run("bash", "-c", "exec sleep infinity &>/dev/null & sed -i 1s/.*/$!/ /data/postgres/postmaster.pid")
    assert site.database.run("cat", "/run/stele/phase").startswith("starting")
    serving(site.database)
    assert site.rows() == rows


def kill_postgres(box: Box) -> None:
    """All of its processes, if there are any at this moment."""
    each = "[[ $(<$process/comm) != postgres ]] || kill -KILL ${process#/proc/}"
    box.shell(f"for process in /proc/[0-9]*; do {each}; done 2>/dev/null; true")


def cut_off(site: Site, victim: str, moment: float) -> bool:
    """One load that is disturbed; whether it was complete all the same. The runner's container is new."""
    runner = site.start_runner()
    time.sleep(moment)
    if victim == "store":
        site.account.gateway.kill()
        try:
            wait_until("a reason or success", lambda: outcomes(runner), runner, limit=900)  # after every retry
        finally:
            site.account.gateway.start()
    elif victim == "runner's PostgreSQL":
        kill_postgres(runner)
        wait_until("a reason or success", lambda: outcomes(runner), runner, limit=900)
    else:
        runner.kill()
    log = runner.log()
    assert "Traceback" not in log, log
    done = "loaded: " in log
    assert done or "serving: owns" not in site.database.log(), "the database serves what is not complete"
    site.engine.remove(f"{site.name}-runner")
    return done


@pytest.mark.parametrize("victim", LOADS)
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
    assert ends["cut off"] or (victim != "task runner" and POINTS < 20), "no kill was in time"
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


def held(site: Site) -> dict[str, list[str]]:
    """The messages that wait in each queue."""
    return {queue: site.content_of_queue(queue) for queue in QUEUES.values()}


def notes(box: Box, folder: str) -> set[str]:
    """What runner and broker have left for each other."""
    return set(box.run("ls", "-A", folder).split())


def until(site: Site, condition: str) -> None:
    """A condition on the notes holds. Asked from within: from outside each look takes as long as what is waited for."""
    site.runner.shell(f"cd {NOTES}; for n in {{1..6000}}; do [[ {condition} ]] && exit; sleep 0.01; done; exit 1")


def left_alone(site: Site, note: str) -> float:
    """For how many seconds a note is there during a backup that nobody disturbs."""
    asked = Asked(site)
    until(site, f"-e {note}")
    began = time.monotonic()
    until(site, f"! -e {note}")
    seconds = time.monotonic() - began
    asked.join()
    assert asked.ok, asked.said
    return seconds


def cut_off_between(site: Site, victim: str, note: str, moment: float) -> bool:
    """One backup that is disturbed while it waits for messages; whether they were there by then. All is up again."""
    killed, other, folder = site.broker, site.runner, NOTES
    if victim == "task runner":
        killed, other, folder = site.runner, site.broker, "/data/.stele"
    asked = Asked(site)
    until(site, f"-e {note}")
    time.sleep(moment)
    killed.kill()
    over = note not in notes(other, folder)
    if victim == "task runner":
        site.restarted()
    else:
        killed.start()
        serving(killed)
    asked.join()
    assert asked.ok or "Traceback" not in asked.said, asked.said
    return over


# A broker writes its answer there; a runner takes its request away once it has the answer.
@pytest.mark.parametrize(("victim", "note"), [("broker", "captured.new"), ("task runner", "capture")])
def test_a_kill_while_messages_are_handed_over_costs_nothing_else(
    letters: Site, victim: str, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = left_alone(letters, note)
    known = verified(letters)
    ends: Counter[str] = Counter()
    for number, moment in moments(seconds, FEW):
        letters.send(f"{victim[:3]}{number}", 10)
        over = cut_off_between(letters, victim, note, moment)
        ends["complete all the same" if over else "cut off"] += 1
        name = letters.backup()["name"]
        now = verified(letters)
        assert set(known) <= set(now)
        assert now[-1] == name
        known = now
        # Nothing is left that the next one could take for its own.
        assert not [each for each in notes(letters.runner, NOTES) if each.startswith("capture")]
    assert ends["cut off"], "no kill was in time"
    content = held(letters)
    again = letters.restore("again", restore=known[-1])
    again.start()
    assert held(again) == content
    with capsys.disabled():
        print(told("hand-over of messages", victim, ends))


def taking_in(site: Site, name: str) -> Site:
    """Another stack, whose broker has just begun to take in a backup's messages."""
    again = site.restore("again", restore=name)
    again.load()
    broker = again.start_broker()
    wait_until("the first message", lambda: "taking in the messages of a backup" in broker.log(), broker)
    return again


def test_a_broker_that_is_killed_while_it_takes_messages_in_has_all_of_them_after(
    letters: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    content = held(letters)
    name = letters.backup()["name"]
    again = taking_in(letters, name)
    began = time.monotonic()
    wait_until("the last message", lambda: "took in" in again.broker.log(), again.broker)
    seconds = time.monotonic() - began
    serving(again.broker)
    assert held(again) == content
    ends: Counter[str] = Counter()
    for _, moment in moments(seconds, FEW):
        again.remove()
        again = taking_in(letters, name)
        time.sleep(moment)
        again.broker.kill()
        over = "messages.jsonl" not in notes(again.runner, NOTES)
        ends["complete all the same" if over else "cut off"] += 1
        again.broker.start()
        serving(again.broker)
        found = held(again)
        # What was taken in before the kill comes once more: whoever consumes stores it once.
        assert {queue: set(bodies) for queue, bodies in found.items()} == {q: set(b) for q, b in content.items()}
        assert not over or found == content
        assert "messages.jsonl" not in notes(again.runner, NOTES)
    assert ends["cut off"], "no kill was in time"
    with capsys.disabled():
        print(told("first start", "broker", ends))


def test_of_messages_that_cannot_all_be_taken_in_none_is(letters: Site) -> None:
    """The broker ends at them and is started again: each time, those before would come once more."""
    content = held(letters)
    again = letters.restore("again", restore=letters.backup()["name"])
    again.load()
    strange = '{"queue": "gone", "message": ""}'
    again.runner.shell(f"cd {NOTES} && cp messages.jsonl whole && echo '{strange}' >>messages.jsonl")
    broker = again.start_broker()
    wait_until("its end", lambda: not broker.running())
    assert "a backup holds messages of queue 'gone', which this release lacks" in broker.log()
    again.runner.shell(f"cd {NOTES} && mv whole messages.jsonl")
    broker.start()
    serving(broker)
    assert held(again) == content
