"""Releases are write-once: the same content again is fine, other content is refused, a torn file cannot exist."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.manifest import content_of, digest_of
from components.release_store import FolderReleaseStore, ReleaseError

WIRING = {
    "needs": ["broker"],
    "secrets": [],
    "volume": None,
    "front": False,
    "sizing": {"S": {"memory": 64, "cpus": 1.0, "replicas": 1}},
    "health": {"window": 30, "interval": 1, "retries": 3},
    "stop": {"signal": "SIGTERM", "drain": 3, "grace": 20},
}


def content(version: str = "1.0.0", digest: str = "sha256:" + "a" * 64) -> dict[str, Any]:
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
        version=version, name="granite", product="orders", template="1", families={}, runtimes={"intake": runtime}
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
