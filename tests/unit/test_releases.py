"""Releases are write-once: the same content again is fine, other content is refused, a torn file cannot exist."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.manifest import Archive, content_of, digest_of, sha256
from components.places import Folder
from components.release_store import FolderReleaseStore, ReleaseError, ReleaseStore

WIRING = {
    "needs": ["broker"],
    "secrets": [],
    "volume": None,
    "front": False,
    "sizing": {"S": {"memory": 64, "cpus": 1.0, "replicas": 1}},
    "health": {"window": 30, "interval": 1, "retries": 3},
    "stop": {"signal": "SIGTERM", "drain": 3, "grace": 20},
}


TAR = b"what a new installation begins with"
OLD = "sha256:7cb8fb962c936bdc73aac363bf45df1f4f3205a920c8d9c1db59c28203b10de0"  # of content(), before it had archives


def content(version: str = "1.0.0", digest: str = "sha256:" + "a" * 64, **archives: bytes) -> dict[str, Any]:
    runtime = {
        "family": "jvm",
        "recipe": "1",
        "core": "camel-4",
        "repository": "orders/intake",
        "digest": digest,
        "configuration": "sha256:c",
        "wiring": WIRING,
    }
    return content_of(
        version=version,
        name="granite",
        product="orders",
        template="1",
        families={},
        runtimes={"intake": runtime},
        archives={name: {"digest": sha256(tar), "size": len(tar)} for name, tar in archives.items()},
    )


@pytest.fixture
def store(tmp_path: Path) -> FolderReleaseStore:
    return FolderReleaseStore(tmp_path)


def test_what_is_published_is_what_is_read(store: FolderReleaseStore) -> None:
    digest = store.publish(content(), {"commit": "abc"})
    manifest = store.read("orders", "1.0.0")
    assert manifest.digest == digest == digest_of(content())
    assert manifest.runtimes["intake"].image("registry:5000") == "registry:5000/orders/intake@sha256:" + "a" * 64
    assert manifest.runtimes["intake"].recipe.to_json() == WIRING
    assert manifest.provenance == {"commit": "abc"}


def test_the_same_content_again_keeps_the_first_provenance(store: FolderReleaseStore) -> None:
    store.publish(content(), {"commit": "first"})
    assert store.publish(content(), {"commit": "second"}) == digest_of(content())
    assert store.read("orders", "1.0.0").provenance == {"commit": "first"}


def test_other_content_under_the_same_version_is_refused(store: FolderReleaseStore) -> None:
    store.publish(content(), {})
    with pytest.raises(ReleaseError, match=r"release 1\.0\.0 is already published .*differs in intake.*next version"):
        store.publish(content(digest="sha256:" + "b" * 64), {})
    assert store.read("orders", "1.0.0").digest == digest_of(content())


def test_an_unknown_version_lists_those_that_exist(store: FolderReleaseStore) -> None:
    for version in ("1.10.0", "1.9.0", "1.2.0"):
        store.publish(content(version), {})
    with pytest.raises(ReleaseError, match=r"'3\.0\.0' is not published.*1\.2\.0, 1\.9\.0, 1\.10\.0$"):
        store.read("orders", "3.0.0")


def test_one_of_many_publishers_at_once_wins_and_the_file_is_whole(store: FolderReleaseStore, tmp_path: Path) -> None:
    contents = [content(digest=f"sha256:{number:064d}") for number in range(16)]

    def publish(each: dict[str, Any]) -> str | None:
        try:
            return store.publish(each, {})
        except ReleaseError:
            return None

    with ThreadPoolExecutor(16) as pool:
        winners = [digest for digest in pool.map(publish, contents) if digest]
    assert winners == [store.read("orders", "1.0.0").digest]
    assert [path.name for path in (tmp_path / "orders").iterdir()] == ["1.0.0.json"]


def test_a_manifest_file_is_read_only_and_a_broken_one_is_named(store: FolderReleaseStore, tmp_path: Path) -> None:
    store.publish(content(), {})
    path = tmp_path / "orders" / "1.0.0.json"
    assert path.stat().st_mode & 0o777 == 0o444
    path.chmod(0o644)
    path.write_text('{"content": {"schema"')
    with pytest.raises(ReleaseError, match=r"1\.0\.0\.json: not a usable release manifest"):
        store.read("orders", "1.0.0")


def test_what_was_published_before_there_were_archives_keeps_its_digest(
    store: FolderReleaseStore, tmp_path: Path
) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders/1.0.0.json").write_text(json.dumps({"content": content(), "provenance": {"commit": "old"}}))
    assert store.read("orders", "1.0.0").digest == OLD
    assert store.read("orders", "1.0.0").archives == {}
    assert store.publish(content(), {}) == OLD


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (("sha256:aaaa", "sha256:abaa"), f"its content is not that of {OLD}"),
        (('"version":"1.0.0"', '"version":"1.0.1"'), f"its content is not that of {OLD}"),
        ((',"provenance":{}', ""), "'provenance'"),
    ],
)
def test_a_manifest_that_was_altered_is_refused(
    store: FolderReleaseStore, tmp_path: Path, written: tuple[str, str], said: str
) -> None:
    store.publish(content(), {})
    path = tmp_path / "orders" / "1.0.0.json"
    text = path.read_text()
    path.unlink()
    assert written[0] in text
    path.write_text(text.replace(*written))
    with pytest.raises(ReleaseError, match=f"1.0.0.json: not a usable release manifest: {said}; restore it"):
        store.read("orders", "1.0.0")


def test_a_manifest_under_another_releases_name_is_refused(store: FolderReleaseStore, tmp_path: Path) -> None:
    store.publish(content(), {})
    (tmp_path / "orders/1.0.0.json").rename(tmp_path / "orders/9.0.0.json")
    with pytest.raises(ReleaseError, match=r"9\.0\.0\.json: .*: it is release 1\.0\.0 of orders"):
        store.read("orders", "9.0.0")


def test_the_archives_that_a_manifest_names_are_beside_it(store: FolderReleaseStore) -> None:
    store.publish(content(vanilla=TAR, files=b"more"), {}, {"vanilla": TAR, "files": b"more"}.__getitem__)
    manifest = store.read("orders", "1.0.0")
    assert manifest.archives["vanilla"] == Archive(digest=sha256(TAR), size=len(TAR))
    assert {name: store.archive(manifest, name) for name in manifest.archives} == {"vanilla": TAR, "files": b"more"}
    assert store.versions("orders") == ["1.0.0"]


def test_an_archive_that_is_not_what_the_manifest_names_is_not_published(
    store: FolderReleaseStore, tmp_path: Path
) -> None:
    with pytest.raises(ReleaseError, match=r"vanilla\.tar: is not what the manifest names: it changed meanwhile"):
        store.publish(content(vanilla=TAR), {}, lambda name: b"edited")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_publishing_again_completes_what_was_cut_off_before_the_manifest(store: FolderReleaseStore) -> None:
    def cut(name: str) -> bytes:
        if name == "files":
            raise InterruptedError
        return TAR

    with pytest.raises(InterruptedError):
        store.publish(content(vanilla=TAR, files=b"more"), {}, cut)
    assert store.versions("orders") == []
    with pytest.raises(ReleaseError, match=r"already published with other content \(differs in vanilla\)"):
        store.publish(content(vanilla=b"other"), {}, lambda name: b"other")
    store.publish(content(vanilla=TAR, files=b"more"), {}, lambda name: b"more")  # the vanilla backup is there
    assert store.archive(store.read("orders", "1.0.0"), "vanilla") == TAR


def test_a_damaged_archive_is_refused(store: FolderReleaseStore, tmp_path: Path) -> None:
    store.publish(content(vanilla=TAR), {}, lambda name: TAR)
    path = tmp_path / "orders/1.0.0.vanilla.tar"
    path.chmod(0o644)
    path.write_bytes(TAR[:-1])
    with pytest.raises(ReleaseError, match=r"vanilla\.tar: is not what the manifest names; restore it from a copy"):
        store.archive(store.read("orders", "1.0.0"), "vanilla")


@pytest.fixture
def cached(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(Folder(tmp_path / "cache"), Folder(tmp_path / "vendor"))


def test_a_cache_answers_alone_once_it_has_the_release(cached: ReleaseStore, tmp_path: Path) -> None:
    FolderReleaseStore(tmp_path / "vendor").publish(content(), {})
    cached.read("orders", "1.0.0")
    (tmp_path / "vendor").rename(tmp_path / "away")
    assert cached.read("orders", "1.0.0").digest == OLD


def test_versions_are_those_of_cache_and_vendor(cached: ReleaseStore, tmp_path: Path) -> None:
    FolderReleaseStore(tmp_path / "cache").publish(content("1.10.0"), {})
    FolderReleaseStore(tmp_path / "vendor").publish(content("1.9.0"), {})
    with pytest.raises(ReleaseError, match=r"published versions of orders: 1\.9\.0, 1\.10\.0$"):
        cached.read("orders", "2.0.0")


def test_what_is_damaged_at_the_vendor_does_not_enter_the_cache(cached: ReleaseStore, tmp_path: Path) -> None:
    (tmp_path / "vendor/orders").mkdir(parents=True)
    (tmp_path / "vendor/orders/1.0.0.json").write_text("{")
    with pytest.raises(ReleaseError, match=r"vendor/orders/1\.0\.0\.json: not a usable release manifest"):
        cached.read("orders", "1.0.0")
    assert not (tmp_path / "cache").exists()


def test_a_damaged_cache_says_that_it_may_be_deleted(cached: ReleaseStore, tmp_path: Path) -> None:
    cached.publish(content(), {})
    path = tmp_path / "cache/orders/1.0.0.json"
    path.chmod(0o644)
    path.write_text("{")
    with pytest.raises(ReleaseError, match=r"cache/orders/1\.0\.0\.json: .*; delete it: it will be fetched again"):
        cached.read("orders", "1.0.0")
    path.unlink()
    assert cached.read("orders", "1.0.0").digest == OLD


def test_other_content_in_the_cache_is_refused_before_the_vendor_has_it(cached: ReleaseStore, tmp_path: Path) -> None:
    FolderReleaseStore(tmp_path / "cache").publish(content(digest="sha256:" + "b" * 64), {})
    with pytest.raises(ReleaseError, match=r"cache/orders/1\.0\.0\.json: release 1\.0\.0 is already published"):
        cached.publish(content(), {})
    assert not (tmp_path / "vendor").exists()


def test_a_host_image_is_part_of_what_a_release_is(store: FolderReleaseStore) -> None:
    host = {
        "disk": "sha256:d",
        "size": 1,
        "tree": "sha256:t",
        "sbom": "sha256:s",
        "lock": "sha256:l",
        "folder": "hosts/1",
    }
    store.publish(content() | {"host": host}, {})
    found = store.read("orders", "1.0.0").host
    assert found is not None
    assert found.disk == "sha256:d"
    with pytest.raises(ReleaseError, match=r"release 1\.0\.0 is already published .*differs in host"):
        store.publish(content() | {"host": host | {"tree": "sha256:other"}}, {})


def test_a_release_without_a_host_image_keeps_its_digest() -> None:
    assert digest_of(content()) == OLD
    assert "host" not in content()
