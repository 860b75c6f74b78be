"""Which records and incarnations of an account count, whatever else anybody has put there."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

# A package of an image, not of the project.
sys.path.append(str(Path(__file__).parents[2] / "runtimes/task-runner"))
from runner import night, repository, store, verify
from runner.mends import mended
from runner.problem import Problem
from runner.repository import Damaged, parsed
from runner.signature import signature, signed, signing_key
from runner.versions import Version

DIGEST = hashlib.sha256(b"").hexdigest()
NAME = "2026-11-26T02-00-00Z"
RECORD: dict[str, Any] = {
    "name": NAME,
    "result": "verified",
    "started": "2026-11-26T02:00:00+00:00",
    "fenced": False,
    "repository": "2026-11.2",
    "snapshot": DIGEST,
    "config": DIGEST,
    "contents": DIGEST,
    "objects": {"config": 155, f"data/00/{DIGEST}": 9, f"index/{DIGEST}": 1},
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_records_are_what_they_should_be() -> None:
    assert parsed(json.dumps(RECORD).encode()) == RECORD
    failed = {"name": NAME, "result": "failed", "reason": "the disk is full"}
    assert parsed(json.dumps(failed).encode()) == failed


@pytest.mark.parametrize(
    "change",
    [
        {"repository": "../other"},
        {"repository": 7},
        {"snapshot": "--password-file=/etc/passwd"},
        {"objects": {"../../etc/passwd": 1}},
        {"objects": {f"data/00/{DIGEST}\n": 1}},
        {"objects": None},
        {"config": DIGEST[1:]},
    ],
)
def test_what_a_hostile_runner_could_have_written_is_no_record(change: dict[str, Any]) -> None:
    assert parsed(json.dumps(RECORD | change).encode()) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"7", b"\xff", b"[" * 99999, b'{"name": 1}'])
def test_what_is_no_object_is_no_record(text: bytes) -> None:
    assert parsed(text) is None


class Account:
    """A store in memory that keeps every version, as S3 does: of each key, the oldest first."""

    def __init__(self) -> None:
        self.env: dict[str, str] = {}
        self.keys: dict[str, list[tuple[bytes, datetime]]] = {}
        self.now = at("2026-11-26T03:00:00Z")
        self.fetched: list[str] = []

    def write(self, key: str, text: bytes) -> None:
        self.keys.setdefault(key, []).append((text, self.now))

    def versions(self, prefix: str) -> list[Version]:
        return [
            Version(key.removeprefix(f"{prefix}/"), str(number), len(text), written)
            for key, texts in self.keys.items()
            for number, (text, written) in reversed([*enumerate(texts)])
            if key.startswith(f"{prefix}/")
        ]

    def oldest(self, prefix: str) -> dict[str, Version]:
        return store.Store.oldest(self, prefix)  # type: ignore[arg-type]

    def list(self, prefix: str) -> list[dict[str, Any]]:
        return [{"Path": path} for path in self.oldest(prefix)]

    def read_version(self, prefix: str, version: Version) -> bytes:
        return self.keys[f"{prefix}/{version.path}"][int(version.id)][0]

    def fetch(self, prefix: str, paths: Iterable[str], folder: Path, *, largest: int) -> None:
        """What is there now."""
        folder.mkdir(exist_ok=True)
        for path in paths:
            self.fetched.append(path)
            text = self.keys[f"{prefix}/{path}"][-1][0]
            if len(text) <= largest:
                (folder / path).write_bytes(text)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    monkeypatch.setattr(repository, "DATA", tmp_path)
    monkeypatch.setattr(repository, "secret", lambda _: "mine")
    monkeypatch.setattr(night, "secret", lambda _: "mine")
    return Account()


def backups(account: Account, stack: str = "acme") -> repository.Backups:
    return repository.Backups(account, stack)  # type: ignore[arg-type]


def kept(account: Account, name: str, **more: Any) -> str:
    """The key of a record that the runner wrote."""
    before = set(account.keys)
    backups(account).keep(RECORD | {"name": name} | more)
    (key,) = account.keys.keys() - before
    return key


EARLIER, NAME_NOW = "2026-11-25T02-00-00Z", "2026-11-26T02-00-00Z"


def test_the_newest_backup_is_chosen_or_the_one_that_is_named(account: Account) -> None:
    assert backups(account).choose("newest") is None
    kept(account, NAME_NOW)
    kept(account, EARLIER)
    kept(account, "2026-11-26T02-30-00Z", result="failed")
    assert (backups(account).choose("newest") or {})["name"] == NAME_NOW
    assert (backups(account).choose(EARLIER) or {})["name"] == EARLIER
    with pytest.raises(Problem, match=f"no verified backup of acme; the last ones: {EARLIER}, {NAME_NOW}"):
        backups(account).choose("2026-11-26T02-30-00Z")


def test_a_record_that_was_overwritten_is_found_among_its_versions(account: Account) -> None:
    account.write(kept(account, NAME_NOW), b"junk")
    assert (backups(account).choose("newest") or {})["name"] == NAME_NOW


@pytest.mark.parametrize("name", ["newest", NAME_NOW])
def test_nothing_takes_the_place_of_a_record_that_is_lost(account: Account, name: str) -> None:
    account.keys[kept(account, NAME_NOW)] = [(b"rotten", account.now)]
    with pytest.raises(Problem, match=rf"{NAME_NOW}: its record is not what was stored; .* \(restore: vanilla\)"):
        backups(account).choose(name)
    kept(account, EARLIER)
    with pytest.raises(Problem, match=rf"{NAME_NOW}: its record is not what was stored; .* \(restore: {EARLIER}\)"):
        backups(account).choose(name)
    assert (backups(account).choose(EARLIER) or {})["name"] == EARLIER


def test_what_is_not_sealed_for_this_very_name_is_not_even_fetched(account: Account) -> None:
    good = kept(account, EARLIER)
    folder, _, file = good.rpartition("/")
    account.write(f"{folder}/{file.replace(EARLIER, NAME_NOW)}", account.keys[good][0][0])
    account.write(good.replace("verified", "failed"), account.keys[good][0][0])
    account.write(f"{folder}/{NAME_NOW}.verified.{DIGEST}.{DIGEST}.json", b"x" * 9)
    account.write(f"{folder}/{NAME_NOW}.{DIGEST}.json", b"{}")
    account.write(f"{folder}/2026-13-45T99-99-99Z.verified.{DIGEST}.{DIGEST}.json", b"{}")
    assert list(backups(account).records()) == [EARLIER]
    assert account.fetched == [file]
    account.write(good.replace("/acme/", "/other/"), account.keys[good][0][0])
    with pytest.raises(Problem, match="1 backups of other, none made with this key"):
        backups(account, "other").choose("newest")


def test_a_record_from_before_its_own_moment_is_none(account: Account) -> None:
    kept(account, EARLIER)
    account.now = at("2026-11-26T01:30:00Z")
    kept(account, NAME_NOW)  # would be the newest until then, whatever comes
    assert list(backups(account).records()) == [EARLIER]


@pytest.mark.parametrize("junk", [None, "", "\u00e9", "\ud800", 7, ["x"], json.loads("[" * 900 + "]" * 900)])
def test_what_is_no_signature_is_passed_over(junk: Any) -> None:
    key = signing_key("the-customers-own")
    assert signed(RECORD | {"signature": signature(RECORD, key)}, key)
    assert not signed(RECORD | {"signature": signature(RECORD, signing_key("another"))}, key)
    assert not signed(RECORD | {"signature": junk}, key)
    assert not signed(RECORD | {"signature": "", "junk": junk}, key)


@pytest.fixture
def without_restic(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that is begun has its first object, and nothing more."""
    monkeypatch.setattr(
        repository.Backups, "_restic", lambda _, name, *__: account.write(f"backups/acme/{name}/config", b"")
    )


def test_all_is_stored_anew_once_a_day_at_most_if_that_is_no_help(
    account: Account, monkeypatch: pytest.MonkeyPatch, without_restic: None
) -> None:
    now = account.now = datetime.now(UTC)
    month, name, rotten = f"{now:%Y-%m}", f"{now:%Y-%m-%dT%H-%M-%SZ}", Damaged("one object is missing")
    assert backups(account).begin(now, rotten) == month
    made = backups(account)
    beside = made.begin(now, rotten)
    assert beside.startswith(f"{month}.")
    with pytest.raises(Problem, match=rf"^one object is missing; stored anew already, in {beside}, and the next time"):
        made.begin(now, rotten)
    kept(account, name, result="failed", repository=beside)  # by which another process knows of it
    with pytest.raises(Problem, match="stored anew already"):
        backups(account).begin(now, rotten)
    monkeypatch.setattr(repository, "ANEW", timedelta(0))
    backups(account).begin(now, rotten)


def test_a_repository_that_had_a_verified_backup_may_be_stored_anew(account: Account, without_restic: None) -> None:
    now = account.now = datetime.now(UTC)
    made = backups(account)
    made.begin(now)
    beside = made.begin(now)
    kept(account, f"{now:%Y-%m-%dT%H-%M-%SZ}", repository=beside)
    made.begin(now, Damaged("one object is missing"))


@pytest.mark.parametrize(
    ("problem", "local"),
    [
        (store.Failed("backup x: no reason given", -9), True),
        (Problem("backup x: no space left on device: the disk is full; make room"), True),
        (store.Failed(f"backup x: {mended('write: disk quota exceeded')}", 1), True),
        (store.Failed("backup x: Fatal: repository contains errors", 1), False),
    ],
)
def test_what_this_machine_refuses_is_not_the_repositorys_fault(problem: Problem, *, local: bool) -> None:
    assert verify._is_of_this_machine(problem) == local


FOLDER = "stacks/acme/incarnations"


def incarnation(version: str, recorded: str, key: str = "mine", **more: str) -> dict[str, Any]:
    """Of that day of November, recorded where it says."""
    document = {"stack": "acme", "version": version, "recorded": f"2026-11-{recorded}T00:00:00+00:00"}
    document |= {"key": f"{FOLDER}/{recorded}.json"} | more
    return document | {"signature": signature(document, signing_key(key))}


def record(account: Account, document: Any, name: str = "", day: str = "20") -> None:
    """Put it under the key that it names, or another, on a day of November."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    account.now = at(f"2026-11-{day}T00:00:00Z")
    account.write(f"{FOLDER}/{name}" if name else document["key"], text)


def newest(account: Account) -> str:
    found = night.newest_incarnation(account, "acme")  # type: ignore[arg-type]
    return str(found.get("version", ""))


def test_the_newest_incarnation_counts_by_the_stores_clock_at_most(account: Account) -> None:
    assert newest(account) == ""
    record(account, incarnation("1", "02"), day="02")
    record(account, incarnation("2", "30"), day="03")  # recorded by a machine whose clock was wrong
    assert newest(account) == "2"
    record(account, incarnation("3", "04"), day="04")
    assert newest(account) == "3"


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (b"junk", "x"),
        (b"[" * 99999, "x"),
        (b"{}" + b" " * 2**20, "x"),
        ({"version": "9"}, "x"),
        ("text", "x"),
        (incarnation("9", "05", "theirs"), ""),
        (incarnation("9", "05", stack="other"), ""),
        (incarnation("9", "05") | {"version": "8"}, ""),
        (incarnation("1", "02"), "05.json"),  # a true one, copied to where it would be the newest
        (b"junk", "03.json"),
        (incarnation("1", "02"), "02.json"),
    ],
)
def test_what_is_no_incarnation_is_in_nobodys_way(account: Account, document: Any, name: str) -> None:
    record(account, incarnation("1", "02"), day="02")
    record(account, incarnation("2", "03"), day="03")
    record(account, document, name)
    assert newest(account) == "2"


def test_a_new_installation_begins_with_nobody_elses_incarnation(account: Account) -> None:
    record(account, incarnation("1", "02", "theirs"))
    record(account, b"junk", "x")
    with pytest.raises(Problem, match="2 incarnations of acme, none signed with this backup-key; pulumi up -s acme"):
        newest(account)
