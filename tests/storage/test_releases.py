"""Releases in real accounts of a real object-lock store: whoever writes later, readers get what was published first."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.auth
import pytest

from components.bucket import Bucket
from components.manifest import canonical, digest_of
from components.places import ReleaseError
from components.release_store import ReleaseStore, store_of
from tests.unit.releases import release

from .conftest import ADMINISTRATOR, ROOT, Gateway, delete_behind_the_door, free_port
from .releases import BACKUP, CONTENT, DIGEST, MANIFEST, TAR, VANILLA, command, every_version, vanilla


def test_what_one_publishes_another_reads(releases: ReleaseStore, vendor: Bucket, tmp_path: Path) -> None:
    assert releases.publish(CONTENT, {"commit": "abc"}, vanilla) == DIGEST
    elsewhere = store_of(str(tmp_path / "elsewhere"), vendor)
    manifest = elsewhere.read("orders", "1.0.0")
    assert (manifest.digest, manifest.provenance) == (DIGEST, {"commit": "abc"})
    assert elsewhere.archive(manifest, "vanilla") == TAR
    assert elsewhere.versions("orders") == ["1.0.0"]
    assert list(vendor.oldest("")) == [MANIFEST, BACKUP]


def test_publishing_again_adds_nothing_and_other_content_is_refused(releases: ReleaseStore, vendor: Bucket) -> None:
    releases.publish(CONTENT, {"commit": "first"}, vanilla)
    before = every_version(vendor)
    releases.publish(CONTENT, {"commit": "second"}, vanilla)
    for other in (CONTENT | {"name": "basalt"}, release("1.0.0", images="b") | VANILLA):
        with pytest.raises(ReleaseError, match=r"release 1\.0\.0 is already published with other content"):
            ReleaseStore(vendor).publish(other, {}, vanilla)
    assert every_version(vendor) == before


def test_what_is_in_the_cache_needs_no_store(releases: ReleaseStore, tmp_path: Path, vendor: Bucket) -> None:
    releases.publish(CONTENT, {}, vanilla)
    nowhere = Bucket(f"http://127.0.0.1:{free_port()}", vendor.bucket, vendor.access_key, vendor.secret_key)
    code = (
        "import sys; from components.bucket import Bucket; from components.release_store import store_of;"
        f"print(store_of({str(tmp_path / 'cache')!r}, Bucket{(nowhere.endpoint, 'b', 'a', 's')!r})"
        ".read('orders', '1.0.0').digest, 'botocore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"{DIGEST} False\n", done.stderr
    with pytest.raises(ReleaseError, match="the store does not answer"):
        store_of(str(tmp_path / "cache"), nowhere).read("orders", "1.1.0")


def test_an_overwrite_with_the_accounts_own_keys_changes_nothing_for_readers(
    releases: ReleaseStore, vendor: Bucket, customer: Bucket, tmp_path: Path
) -> None:
    releases.publish(CONTENT, {}, vanilla)
    evil = canonical({"content": release("1.0.0", images="b"), "provenance": {}})
    for number in range(3):
        vendor._s3.put_object(Bucket=vendor.bucket, Key=MANIFEST, Body=evil)
        vendor._s3.put_object(Bucket=vendor.bucket, Key=BACKUP, Body=b"evil %d" % number)
    fresh = store_of(str(tmp_path / "fresh"), vendor)
    assert fresh.read("orders", "1.0.0").digest == DIGEST
    assert fresh.archive(fresh.read("orders", "1.0.0"), "vanilla") == TAR
    assert ReleaseStore(vendor).publish(CONTENT, {}, vanilla) == DIGEST
    done = command("copy", str(tmp_path / "other"), "orders", "1.0.0", vendor=vendor, customer=customer)
    assert (done.returncode, done.stdout) == (0, f"{DIGEST}\n"), done.stderr
    assert customer.read(BACKUP) == TAR


def test_the_oldest_is_found_behind_more_versions_than_a_page_holds(
    vendor: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ReleaseStore(vendor).publish(CONTENT, {}, vanilla)
    for number in range(7):
        vendor._s3.put_object(Bucket=vendor.bucket, Key=BACKUP, Body=b"evil %d" % number)
    listed = vendor._s3.list_object_versions
    pages = []

    def two_a_page(**given: Any) -> Any:
        pages.append(given)
        return listed(**given, MaxKeys=2)

    monkeypatch.setattr(vendor._s3, "list_object_versions", two_a_page)
    assert vendor.read(BACKUP) == TAR
    assert len(pages) >= 4


def test_a_deletion_by_the_administrator_hides_nothing(
    releases: ReleaseStore, vendor: Bucket, gateway: Gateway
) -> None:
    releases.publish(CONTENT, {}, vanilla)
    # Without a version it adds a marker. The door lets nobody do that; other stores do.
    assert delete_behind_the_door(gateway, ADMINISTRATOR, f"/{vendor.bucket}/{MANIFEST}") == 204
    assert ReleaseStore(vendor).read("orders", "1.0.0").digest == DIGEST
    assert ReleaseStore(vendor).versions("orders") == ["1.0.0"]


RACE = """
import json, sys
from components.bucket import Bucket
from components.release_store import ReleaseError, ReleaseStore
store, content = ReleaseStore(Bucket.of(json.loads(sys.argv[1]))), json.loads(sys.argv[2])
store.versions("orders")
print("ready", flush=True)
sys.stdin.readline()
try:
    print(store.publish(content, {}))
except ReleaseError as error:
    print(error)
"""


def test_of_two_publishers_at_once_one_wins_and_the_other_is_told(vendor: Bucket) -> None:
    for number in range(8):
        contents = [release(f"2.0.{number}", images=images) for images in "ab"]
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACE, vendor.to_json(), json.dumps(content)],
                cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for content in contents
        ]  # fmt: skip
        for racer in racers:
            assert racer.stdout
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("go\n")
            racer.stdin.flush()
        said = [racer.communicate()[0].strip() for racer in racers]
        published = ReleaseStore(vendor).read("orders", f"2.0.{number}").digest
        winners = [words for words, content in zip(said, contents, strict=True) if words == digest_of(content)]
        assert winners == [published], said
        assert sum("already published with other content" in words for words in said) == 1, said
    written = [key for key, _ in every_version(vendor)]
    assert written == sorted(set(written))  # the loser did not even add a version


STOPPED = """
import json, os, signal, sys
from components.bucket import Bucket
from components.release_store import ReleaseStore
class Stopped(Bucket):
    def write(self, key, body):
        if key.endswith(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(key, body)
ReleaseStore(Stopped.of(json.loads(sys.argv[1]))).publish(json.loads(sys.argv[2]), {}, lambda name: b"%s")
""" % TAR.decode()  # noqa: UP031


@pytest.mark.parametrize("before", ["vanilla.tar", "manifest.json"])
def test_a_publisher_that_was_killed_published_nothing_and_the_next_completes_it(vendor: Bucket, before: str) -> None:
    line = [sys.executable, "-c", STOPPED, vendor.to_json(), json.dumps(CONTENT), before]
    assert subprocess.run(line, cwd=ROOT).returncode == -signal.SIGKILL
    assert [key for key, _ in every_version(vendor)] == ([] if before == "vanilla.tar" else [BACKUP])
    with pytest.raises(ReleaseError, match="published versions of orders: none yet"):
        ReleaseStore(vendor).read("orders", "1.0.0")
    assert ReleaseStore(vendor).publish(CONTENT, {}, vanilla) == DIGEST
    assert [key for key, _ in every_version(vendor)] == [MANIFEST, BACKUP]


def test_an_unknown_version_lists_what_is_published(releases: ReleaseStore, vendor: Bucket, tmp_path: Path) -> None:
    for version in ("1.10.0", "1.9.0"):
        ReleaseStore(vendor).publish(release(version), {})
    store_of(str(tmp_path / "cache"), None).publish(release("1.2.0"), {})
    with pytest.raises(ReleaseError, match=r"'3\.0\.0' is not published; .* orders: 1\.2\.0, 1\.9\.0, 1\.10\.0$"):
        releases.read("orders", "3.0.0")


@pytest.fixture
def tomorrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    later = datetime.now(UTC) + timedelta(days=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: later.replace(tzinfo=None))
    yield
    monkeypatch.undo()


def test_a_wrong_clock_is_said(vendor: Bucket, tomorrow: None) -> None:
    with pytest.raises(ReleaseError, match="its clock and this machine's differ by over 15 minutes; set the clock"):
        vendor.versions("orders")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"secret_key": "x" * 20},
            "stele-vendor-.*: SignatureDoesNotMatch: pulumi up --refresh of its storage stack gives",
        ),
        ({"access_key": "nobody"}, "stele-vendor-.*: InvalidAccessKeyId: pulumi up --refresh of its"),
        ({"bucket": "stele-nobody"}, "stele-nobody: NoSuchBucket: the account is not there; pulumi up"),
        ({"endpoint": "http://127.0.0.1:9"}, "http://127.0.0.1:9: the store does not answer"),
    ],
)
def test_what_is_wrong_with_an_account_is_one_line(
    vendor: Bucket, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    broken = Bucket.of(json.loads(vendor.to_json()) | changed)
    with pytest.raises(ReleaseError, match=said) as refused:
        store_of(str(tmp_path), broken).publish(CONTENT, {}, vanilla)
    assert "\n" not in str(refused.value)
    assert vendor.secret_key not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_one_customers_keys_do_not_open_anothers_account(vendor: Bucket, customer: Bucket) -> None:
    with pytest.raises(ReleaseError, match="AccessDenied: pulumi up --refresh"):
        ReleaseStore(Bucket.of(json.loads(customer.to_json()) | {"bucket": vendor.bucket})).versions("orders")
