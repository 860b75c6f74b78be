"""The store keeps what it has acknowledged, and the sealer gives each version a date that nobody shortens."""

from __future__ import annotations

import datetime
import itertools
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from sealer import Log, Sealer, client, retain_until

from .machine import eventually
from .store import BUCKET, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "checkout")
    made.up()
    yield made
    made.local("stop", "--delete-data")


def test_keys_are_private_stay_and_are_on_no_command_line(store: Store) -> None:
    keys = store.keys()
    assert store.keys_file.stat().st_mode & 0o777 == 0o600
    store.killed("store", signal.SIGKILL)
    store.up()
    assert store.local("stop").returncode == 0
    store.up()
    assert store.keys() == keys
    assert store.keys_file.stat().st_mode & 0o777 == 0o600
    shown = b"".join(_read(folder / "cmdline") for folder in Path("/proc").glob("[0-9]*"))
    assert str(store.folder).encode() in shown, "the parts were to be seen"
    assert not [key for key in keys if key.encode() in shown]
    written = [path for path in store.folder.rglob("*") if path.is_file() and keys[1].encode() in path.read_bytes()]
    assert written == [store.keys_file]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_version_gets_its_own_date_that_even_the_administrator_cannot_take_back(store: Store) -> None:
    writer, admin = store.writer(), store.admin
    for key in ("release-1.0.0", "a folder/a name with ümläuts & 200 % of /signs?x=1"):
        first = writer.put_object(Bucket=BUCKET, Key=key, Body=b"first")["VersionId"]
        second = writer.put_object(Bucket=BUCKET, Key=key, Body=b"second")["VersionId"]
        for version in (first, second):
            store.sealed(key, version)
            at = {"Bucket": BUCKET, "Key": key, "VersionId": version}
            before = store.date(key, version)
            soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
            short = {"Mode": "COMPLIANCE", "RetainUntilDate": soon}
            for who, header in itertools.product((writer, admin), ({}, {"BypassGovernanceRetention": True})):
                with pytest.raises(ClientError, match="AccessDenied"):
                    who.delete_object(**at, **header)
                with pytest.raises(ClientError, match="AccessDenied"):
                    who.put_object_retention(**at, Retention=short, **header)
            assert store.date(key, version) == before


def test_copies_and_uploads_in_parts_are_sealed_too(store: Store) -> None:
    writer = store.writer()
    writer.put_object(Bucket=BUCKET, Key="first", Body=b"1")
    copy = writer.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "first"})
    target = {"Bucket": BUCKET, "Key": "in/parts"}
    upload = target | {"UploadId": writer.create_multipart_upload(**target)["UploadId"]}
    tag = writer.upload_part(**upload, PartNumber=1, Body=b"1")["ETag"]
    whole = writer.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
    store.sealed("copy", copy["VersionId"])
    store.sealed("in/parts", whole["VersionId"])


def test_what_was_written_while_the_sealer_was_down_is_sealed_and_a_date_of_its_own_is_left_alone(store: Store) -> None:
    writer = store.writer()
    os.kill(store.pid("supervisor"), signal.SIGKILL)
    os.kill(store.pid("sealer"), signal.SIGKILL)
    far = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
    given = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": far}
    own = store.admin.put_object(Bucket=BUCKET, Key="a-date", Body=b"1", **given)["VersionId"]
    written = {f"lost-{n}": writer.put_object(Bucket=BUCKET, Key=f"lost-{n}", Body=b"1")["VersionId"] for n in range(3)}
    assert [store.date(key, version) for key, version in written.items()] == [None] * 3
    store.up()
    for key, version in written.items():
        store.sealed(key, version)
    # A sweep goes by name, so it has been there.
    assert store.date("a-date", own) == far


def test_a_killed_store_loses_nothing_acknowledged(store: Store) -> None:
    writer = store.writer()
    written = {}
    for n in range(20):
        if n == 10:
            os.kill(store.pid("store"), signal.SIGKILL)
        try:
            written[f"object-{n}"] = writer.put_object(Bucket=BUCKET, Key=f"object-{n}", Body=b"%d" % n)["VersionId"]
        except (BotoCoreError, ClientError):
            eventually(lambda: _answers(store), "the store is back")
    assert len(written) >= 18
    for key, version in written.items():
        body = writer.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert body == key.removeprefix("object-").encode()
        store.sealed(key, version)


def _answers(store: Store) -> bool:
    try:
        with urllib.request.urlopen(f"{store.env['STELE_STORE']}/health") as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def test_objects_survive_stop_and_go_with_the_data(store: Store) -> None:
    version = store.writer().put_object(Bucket=BUCKET, Key="kept", Body=b"kept")["VersionId"]
    store.sealed("kept", version)
    before = store.date("kept", version)
    assert store.local("stop").returncode == 0
    assert not _answers(store)
    store.up()
    assert store.admin.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"kept"
    assert store.date("kept", version) == before
    assert store.local("stop", "--delete-data").returncode == 0
    assert not (store.folder / ".stele" / "data").exists()
    assert not store.keys_file.exists()


def test_without_a_store_the_sealer_is_not_well_and_says_why_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {"ROOT_ACCESS_KEY_ID": "a", "ROOT_SECRET_ACCESS_KEY": "b"}
    # Port 1 is nobody's: whoever connects is refused at once.
    sealer = Sealer(client("http://127.0.0.1:1", keys), Log(tmp_path / "store.log"))
    for _ in range(2):
        sealer.next_sweep = 0
        sealer.step()
        assert not sealer.well
    (line,) = capsys.readouterr().out.splitlines()
    assert "http://127.0.0.1:1" in line


def test_the_log_tells_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "store.log"
    line = "admin bucket [21/November/2026:18:48:47 +0000] 127.0.0.1 me ID {} {} {} 200 - 0 1 3 3 - agent\n"
    path.write_text(line.format("s3_PutObject", "old", "/bucket/old"))
    log = Log(path)
    with path.open("a") as file:
        file.write(line.format("s3_PutObject", "a b", "/bucket/a%20b?x-id=PutObject"))
        file.write(line.format("s3_GetObject", "read", "/bucket/read"))
        file.write(line.format("s3_PutObject", "no", "/bucket/no").replace(" 200 ", " 403 "))
        file.write(line.format("s3_CompleteMultipartUpload", "d/e", "/bucket/d/e?uploadId=1"))
        file.write(line.format("s3_PostObject", "-", "/bucket"))
        file.write("admin bucket [21")
    assert log.written() == {("bucket", "a b"), ("bucket", "d/e"), ("bucket", "")}
    assert log.written() == set()
    path.write_text(line.format("s3_CopyObject", "next", "/bucket/next"))
    assert log.written() == {("bucket", "next")}


def test_retention_is_counted_from_the_writing() -> None:
    written = datetime.datetime(2028, 2, 29, 12, tzinfo=datetime.UTC)
    assert retain_until(written, {"Days": 1}) == datetime.datetime(2028, 3, 1, 12, tzinfo=datetime.UTC)
    assert retain_until(written, {"Years": 4}) == datetime.datetime(2032, 2, 29, 12, tzinfo=datetime.UTC)
    assert retain_until(written, {"Years": 1}) == datetime.datetime(2029, 3, 1, 12, tzinfo=datetime.UTC)
