"""What people are told, and what is refused: health, reasons in one line, moves, new installations and migrations."""

from __future__ import annotations

import io
import json
import re
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backup.account import Account
from tests.backup.engine import Refused, wait_until
from tests.backup.site import SECRETS, Site, loaded, serving

STEPS = ["look", "find", "fetch", "check", "place", "migrate", "open"]
FILES: dict[str, Any] = {"captures": {"notify": "files"}}
ROWS: dict[str, Any] = {"captures": {"database": "database"}}
COLUMNS = "id text primary key, item text not null, quantity integer not null, stored timestamptz default now()"


@pytest.fixture(scope="module")
def site(sites: Callable[..., Site]) -> Site:
    """One that keeps only files, with a backup."""
    made = sites("first", **FILES)
    made.load()
    made.add_files("first", 5)
    made.backup()
    return made


def status(site: Site) -> str:
    return site.runner.run("/opt/stele/backup", "status").strip()


def asked(site: Site, path: str) -> str:
    """What the management port answers."""
    script = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:9000{path}').read().decode())"
    return site.runner.run("python3", "-c", script).strip()


def one_line(error: pytest.ExceptionInfo[Refused]) -> str:
    """The reason, of which there is one line: no trace of a program."""
    text = str(error.value)
    assert "Traceback" not in text
    return text.strip().splitlines()[-1]


def test_a_failed_night_turns_health_yellow_and_the_next_one_green(site: Site) -> None:
    assert re.fullmatch(r"green: the last backup is 0:0\d:\d\d old", status(site))
    site.secret("storage-secret", "wrong")
    try:
        with pytest.raises(Refused) as error:
            site.backup()
        reason = "SignatureDoesNotMatch: the storage secret is wrong"
        assert reason in one_line(error)
        assert status(site).startswith("yellow: the last backup failed: ")
        assert reason in asked(site, "/health")
        assert "\nstele_backup_healthy 0\n" in asked(site, "/metrics")
        assert asked(site, "/ready").startswith("serving: ")  # whoever is served is not concerned
    finally:
        site.secret("storage-secret", site.account.keys.secret)
    name = site.backup()["name"]
    assert status(site).startswith("green")
    assert "\nstele_backup_healthy 1\n" in asked(site, "/metrics")
    assert name in site.runner.run("/opt/stele/backup", "list")


def test_every_reason_is_one_line_with_the_mend(site: Site) -> None:
    gateway = site.account.gateway
    storage = {"endpoint": gateway.endpoint, "bucket": site.account.bucket, "access_key": "stele-nobody"}
    site.configure(storage=storage)
    with pytest.raises(Refused) as error:
        site.backup()
    assert "InvalidAccessKeyId: the store does not know the keys" in one_line(error)
    del site.settings["storage"]
    site.configure()

    (site.folder / "secrets/backup-key").unlink()
    with pytest.raises(Refused) as error:
        site.backup()
    assert "secret 'backup-key' is missing or empty" in one_line(error)
    site.secret("backup-key", SECRETS["backup-key"])

    gateway.kill()
    try:
        with pytest.raises(Refused) as error:
            site.backup()
    finally:
        gateway.start()
    assert "the store does not answer; start it, or mend the address" in one_line(error)
    site.backup()


def test_a_file_that_changes_meanwhile_is_read_again(site: Site) -> None:
    # It is written to as soon as it was read, so that what is stored is not what was noted.
    site.runner.shell(
        "cd /data/volumes/notify && head -c 20000000 /dev/urandom >big && "
        "{ until [ -e /data/capture/contents.json ]; do sleep 0.01; done; echo changed >>big; } >/dev/null 2>&1 &"
    )
    record = site.backup()
    again = site.restore("again", restore=record["name"])
    again.load()
    assert again.files() == site.files()
    assert again.runner.shell("tail -n 1 /data/volumes/notify/big | tail -c 8") == "changed\n"
    site.runner.shell("rm /data/volumes/notify/big")


def test_a_file_that_goes_meanwhile_costs_no_repository(site: Site, account: Account) -> None:
    site.runner.shell(
        "cd /data/volumes/notify && head -c 20000000 /dev/urandom >big && "
        "{ until [ -e /data/capture/contents.json ]; do sleep 0.01; done; rm big; } >/dev/null 2>&1 &"
    )
    before = account.repositories()
    name = site.backup()["name"]
    assert account.repositories() == before
    again = site.restore("again", restore=name)
    again.load()
    assert again.files() == site.files()


def test_what_cannot_be_restored_again_is_recorded_and_never_chosen(site: Site) -> None:
    good = site.backup()["name"]
    # A scratch folder that cannot be: the verification fails, whatever was stored.
    site.runner.shell("rm -rf /data/verifying && ln -s /proc/none /data/verifying", user="0:0")
    with pytest.raises(Refused) as error:
        site.backup()
    one_line(error)
    site.runner.shell("rm -f /data/verifying", user="0:0")
    assert re.search(r"failed .+$", site.runner.run("/opt/stele/backup", "list").strip().splitlines()[-1])
    again = site.restore("again")
    assert again.load()["from"] == good


def test_of_two_backups_at_once_the_second_waits_and_the_first_may_hurry(site: Site) -> None:
    box = site.runner
    holder = "(exec 9>/data/.backup-lock; flock 9; until [ -e /data/.hurry ]; do sleep 0.1; done) >/dev/null 2>&1 &"
    box.shell(f"{holder} sleep 0.5")  # it ends when somebody waits for it
    said = box.run("/opt/stele/backup", "backup")
    assert said.count("another backup of this stack runs; this one begins after it") == 1
    assert json.loads(said.splitlines()[-1])["result"] == "verified"
    box.shell("[ ! -e /data/.hurry ]")


def test_a_night_goes_on_at_full_speed_when_somebody_waits_for_it(site: Site) -> None:
    said: list[str] = []
    night = threading.Thread(target=lambda: said.append(site.runner.run("/opt/stele/backup", "night")))
    night.start()
    lock = "flock --nonblock /data/.backup-lock true && echo free || echo held"
    wait_until("it has begun", lambda: site.runner.shell(lock) == "held\n")
    name = site.backup()["name"]
    night.join()
    assert json.loads(said[0].splitlines()[-1])["name"] < name


def test_unknown_names_and_wrong_keys_load_nothing(site: Site) -> None:
    again = site.restore("again", restore="2020-01-01T02-00-00Z")
    with pytest.raises(
        Refused, match=r"cannot start: restore: '2020-01-01T02-00-00Z' is no verified backup of shop; the last"
    ):
        again.load()
    again.engine.remove("again-runner")
    again.configure(restore="newest")
    again.secret("backup-key", "another")
    with pytest.raises(
        Refused, match=r"cannot start: secret 'backup-key': \d+ backups of shop, none made with this key; set theirs"
    ):
        again.load()
    assert again.empty()


def test_a_move_from_a_fenced_stack_loses_nothing(site: Site) -> None:
    site.configure(fenced=True)
    name = site.backup()["name"]
    site.configure(fenced=False)
    again = site.restore("again", restore=name)
    report = again.load()
    assert (report["window"], report["steps"]) == (None, STEPS)
    assert again.files() == site.files()
    again.remove()
    later = site.backup()["name"]
    again = site.restore("again")
    report = again.load()
    assert report["from"] == later
    assert len(report["window"]) == 2


def vanilla() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        text = f"create table orders ({COLUMNS});\ninsert into orders values ('vanilla-1', 'given', 1);\n".encode()
        member = tarfile.TarInfo("database/database.sql")
        member.size, member.mode = len(text), 0o644
        archive.addfile(member, io.BytesIO(text))
    return packed.getvalue()


def test_a_new_installation_an_update_and_recovery_take_the_same_steps(
    sites: Callable[..., Site], account: Account
) -> None:
    digest = account.incarnation("fresh", "1.0.0", vanilla())
    site = sites("fresh", stack="fresh", settings={"vanilla": digest}, **ROWS)
    new = site.start()
    assert (new["from"], new["empty"], new["steps"]) == ("vanilla 1.0.0", ["database"], STEPS)
    assert site.sql("select id from orders") == "vanilla-1"
    site.add_orders("more", 10)
    update = site.runner_again()
    assert (update["from"], update["empty"], update["steps"]) == (None, [], STEPS)
    name, rows = site.backup()["name"], site.rows()
    again = site.restore("again")
    recovery = again.start()
    assert (recovery["from"], recovery["empty"], recovery["steps"]) == (name, ["database"], STEPS)
    assert again.rows() == rows


def test_a_volume_that_the_release_brings_begins_with_vanilla_beside_one_that_is_loaded(
    sites: Callable[..., Site], account: Account
) -> None:
    account.incarnation("grown", "1.0.0")
    site = sites("before", stack="grown", **FILES)
    site.load()
    site.add_files("kept", 3)
    name, files = site.backup()["name"], site.files()
    moved = sites("after", stack="grown", captures=ROWS["captures"] | FILES["captures"])

    # An `up` that did not reach the store: the account has the release before, whose vanilla backup has no such volume.
    moved.configure(vanilla="sha256:" + "0" * 64)
    with pytest.raises(Refused, match=r"cannot start: vanilla backup sha256:0+: is not in the account yet; pulumi up"):
        moved.load()
    assert moved.empty()

    moved.configure(vanilla=account.incarnation("grown", "1.1.0", vanilla()))
    moved.engine.remove("after-runner")
    report = moved.start()
    assert (report["from"], report["vanilla"], report["empty"]) == (name, "vanilla 1.1.0", ["database", "notify"])
    assert moved.sql("select id from orders") == "vanilla-1"
    assert moved.files() == files


def migrations(folder: Path, **steps: str) -> Path:
    (folder / "migrations").mkdir(parents=True, exist_ok=True)
    for name, script in steps.items():
        (folder / "migrations" / f"{name.removeprefix('step')}.sql").write_text(script)
    for path in (folder, folder / "migrations"):
        path.chmod(0o755)
    return folder


def test_migrations_run_once_or_not_at_all(sites: Callable[..., Site], tmp_path: Path) -> None:
    site = sites("moving", stack="moving", **ROWS)
    site.flows = tmp_path / "flows"
    migrations(site.flows)
    assert site.start()["schema"] == 1
    site.add_orders("old", 5)

    migrations(site.flows, **{"step2-colour": "alter table orders add colour text;\nselect 1 / 0;\n"})
    site.configure(schema={"needs": 2, "oldest": 1})
    with pytest.raises(Refused, match=r"cannot start: database orders: .*division by zero$"):
        site.runner_again()
    assert site.sql("select count(*) from information_schema.columns where column_name = 'colour'") == "0"
    assert site.sql("select count(*) from orders") == "5"

    # Two at once, while the database serves: each reports the schema it needs, and only one has made it.
    slow = "alter table orders add colour text default 'red';\nselect pg_sleep(1);\n"
    migrations(site.flows, **{"step2-colour": slow})
    site.engine.remove(f"{site.name}-runner")
    both = [site.start_runner(number) for number in ("", "2")]
    assert [loaded(box)["schema"] for box in both] == [2, 2]
    assert sum("migrated from schema 1 to 2" in box.log() for box in both) == 1
    assert site.sql("select version from stele.migrations") == "2"
    site.engine.remove(f"{site.name}-runner2")
    assert site.runner_again()["schema"] == 2

    # A backup knows its schema: an older release refuses it, this one loads it.
    name = site.backup()["name"]
    again = site.restore("again", restore=name, schema={"needs": 1, "oldest": 1})
    with pytest.raises(
        Refused, match=r"cannot start: schema: the data is at 2, this release needs 1: it cannot follow"
    ):
        again.load()
    again.engine.remove("again-runner")
    again.configure(schema={"needs": 2, "oldest": 1})
    assert again.load()["schema"] == 2


def test_two_runners_load_one_after_the_other(site: Site) -> None:
    again = site.restore("again")
    boxes = [again.start_runner(number) for number in ("", "2")]
    reports = [loaded(box) for box in boxes]
    assert sorted(report["empty"] for report in reports) == [[], ["notify"]]
    assert again.files() == site.files()


def test_a_lost_database_is_not_taken_for_a_new_one(sites: Callable[..., Site]) -> None:
    site = sites("gone", stack="gone", **ROWS)
    site.start()
    site.database.kill()
    site.runner.shell("rm -rf /data/volumes/database/postgres")
    site.database.start()
    wait_until("its end", lambda: not site.database.running())
    assert "the volume was loaded, and its database is gone" in site.database.log()
    # Nor by the runner, which migrates a database that nobody serves.
    with pytest.raises(
        Refused, match=r"cannot start: database: the volume was loaded, and its database is gone: to load"
    ):
        site.runner_again()
    site.runner.shell("rm /data/volumes/database/.stele/loaded")
    assert site.runner_again()["empty"] == ["database"]


def test_the_broker_answers_while_messages_flow(sites: Callable[..., Site]) -> None:
    site = sites("busy", stack="busy", captures={"broker": "messages"})
    site.start()
    site.send("before", 100)
    flow = threading.Thread(target=site.send, args=("meanwhile", 1500))
    flow.start()
    site.backup()
    flow.join()
    again = site.restore("again")
    again.start()
    found = again.content_of_queue("orders")
    assert {body.split()[0] for body in found} >= {f"before-{number}" for number in range(100)}
    assert len(found) == len(set(found))
    serving(again.broker)
