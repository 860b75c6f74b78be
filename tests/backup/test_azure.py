"""The task runner and the program in an Azure account, against Azurite: it speaks the protocol and protects nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.backup_status import Question
from components.places import ReleaseError
from components.release_store import ReleaseStore
from components.storage_reference import Account
from tests.backup.azurite import Azurite, EmulatedAccount, install
from tests.backup.engine import Engine, Refused
from tests.backup.site import Site
from tests.storage.conftest import free_port
from tests.storage.releases import CONTENT, vanilla
from tests.unit.releases import release


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    folder = tmp_path_factory.mktemp("azurite")
    running = Azurite(install(folder), folder, free_port())
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture
def emulated(azurite: Azurite, request: pytest.FixtureRequest) -> EmulatedAccount:
    """An account of this test's own."""
    return azurite.account(f"{abs(hash(request.node.name)):x}")


@pytest.fixture
def site(engine: Engine, references: dict[str, str], emulated: EmulatedAccount, tmp_path: Path) -> Iterator[Site]:
    made = Site(engine, references, emulated, tmp_path / "first", "first", "shop")
    yield made
    made.remove()


def test_what_is_backed_up_there_comes_back_and_what_is_damaged_does_not(site: Site, emulated: EmulatedAccount) -> None:
    site.start()
    site.add_orders("azure", 500)
    site.add_files("azure", 5)
    site.send("azure", 20)
    content = site.content()
    name = site.backup()["name"]
    assert site.backup()["name"] > name
    assert [blob.name for blob in emulated.blobs.list_blobs() if "/locks/" in blob.name] == []  # restic's own, removed
    again = site.restore("again", restore=name)
    report = again.start()
    assert report["from"] == name
    assert again.content() == content
    again.remove()

    for blob in list(emulated.blobs.list_blobs()):  # which of them a backup needs is restic's business
        if "/data/" in blob.name:
            emulated.blobs.upload_blob(blob.name, b"somebody else's", overwrite=True)
    with pytest.raises(Refused, match=r"objects are missing or damaged, such as backups/shop/"):
        site.restore("again", restore=name).load()
    again.remove()

    newest = max(blob.name for blob in emulated.blobs.list_blobs() if "/records/" in blob.name)
    emulated.blobs.upload_blob(newest, b"somebody else's", overwrite=True)
    with pytest.raises(Refused, match=rf"its record is not what was stored; .* another backup \(restore: {name}\)"):
        site.restore("again").load()


def test_an_account_that_is_gone_is_not_taken_for_an_empty_one(site: Site, emulated: EmulatedAccount) -> None:
    emulated.blobs.delete_container()
    site.start_database()
    with pytest.raises(Refused, match="the account does not exist; pulumi up of the storage stack"):
        site.load()


def test_the_store_check_finds_out_that_nothing_is_protected(emulated: EmulatedAccount) -> None:
    found = Question(emulated.account, "shop", "key").answer
    assert found.store is not None
    assert found.store.endswith(
        "has no immutable storage with versioning, so it protects nothing; use a storage stack's account"
    )
    assert (found.health, found.last) == ("yellow", None)


def test_a_release_is_published_there_once(emulated: EmulatedAccount) -> None:
    store = ReleaseStore(emulated.place)
    digest = store.publish(CONTENT, {}, vanilla)
    assert store.publish(CONTENT, {}, vanilla) == digest
    with pytest.raises(ReleaseError, match="is already published with other content"):
        store.publish(release("1.0.0"), {})
    (version,) = store.versions(CONTENT["product"])
    assert store.read(CONTENT["product"], version).digest == digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bucket": "stele-nobody"}, "ContainerNotFound: the account is not there; pulumi up --refresh of its storage"),
        ({"secret_key": "d3Jvbmc="}, "AuthorizationFailure: its identity may not do that here; az login, or pulumi up"),
        ({"endpoint": "http://127.0.0.1:9/devstoreaccount1"}, "the store does not answer"),
    ],
)
def test_what_is_wrong_is_one_line(emulated: EmulatedAccount, change: dict[str, str], said: str) -> None:
    account = Account(**(vars(emulated.account) | change))
    found = Question(account, "shop", "key").answer
    assert said in (found.store or "")
    assert "\n" not in (found.store or "")
