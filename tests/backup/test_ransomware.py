"""Somebody owns the task runner's container, with its keys: what was backed up stays, what comes after counts again."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.backup.engine import Refused, wait_until
from tests.backup.site import Site

# These only add; an overwritten object keeps its older versions, and of a lock file there is nothing to keep.
ALLOWED = {
    "overwrite an object",
    "copy over an object",
    "forge a record",
    "fill the locks",
    "delete a lock",
    "add to the repository",
    "occupy the next repository",
    "add what is no record",
}


@pytest.fixture(scope="module")
def site(sites: Callable[..., Site]) -> Site:
    made = sites("first")
    made.start()
    made.add_orders("monday", 500)
    made.add_files("monday", 10)
    made.send("monday", 20)
    return made


def added(site: Site) -> bool:
    """Whether somebody has added an object that is not what its name says."""
    return any(each["Key"].endswith(f"/data/ff/{'f' * 64}") for each in site.account.versions("backups/"))


def test_backups_outlive_whoever_has_the_runners_keys(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    yesterday, content = site.backup()["name"], site.content()
    before = {(each["Key"], each["VersionId"]) for each in site.account.versions("backups/")}

    answers = json.loads(site.runner.run("python3", "/tests/hostile.py", user="0:0"))
    done = {name for name, counts in answers.items() if any(int(status) < 300 for status in counts)}
    assert done <= ALLOWED
    assert before <= {(each["Key"], each["VersionId"]) for each in site.account.versions("backups/")}
    tries = sum(sum(counts.values()) for counts in answers.values())

    # The newest is a forged one that was written as of now: it names an object that was never stored, and is refused.
    again = site.restore("again", restore="newest")
    with pytest.raises(
        Refused, match=r"cannot start: backup .* 1 of \d+ objects are missing or damaged, such as \S+; choose another"
    ):
        again.load()
    assert again.empty()
    again.remove()

    again = site.restore("again", restore=yesterday)
    again.start()
    assert again.content() == content
    again.remove()

    # Whoever waits for the next night, to add what is no object to whatever repository it uses, is passed over.
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(site.runner.run, "python3", "/tests/hostile.py", "wait")
        wait_until("the first of its junk", lambda: added(site), site.runner)
        tonight = site.backup()["name"]
        assert waiting.result().endswith("added\n")
    again = site.restore("again", restore=tonight)
    again.start()
    assert again.content() == content
    again.remove()

    # The stack, which went on, is backed up again, and that is the newest one.
    site.add_orders("tuesday", 100)
    today, content = site.backup()["name"], site.content()
    assert site.backup()["name"] > today  # and once more, in the repository that was begun
    again = site.restore("again", restore="newest")
    report = again.start()
    assert report["from"] > today
    assert again.content() == content
    with capsys.disabled():
        print(
            f"\nof {tries} hostile requests of {len(answers)} kinds none took anything away; accepted: {sorted(done)}"
        )
