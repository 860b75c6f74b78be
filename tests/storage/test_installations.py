"""What `pulumi up` runs to publish, to copy to a customer and to record a stack, on a real object-lock store."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.archive import pack
from components.bucket import Bucket
from components.manifest import canonical, digest_of, manifest_of, sha256
from components.release_commands import PENDING
from components.release_store import ReleaseStore, store_of
from components.signature import signed, signing_key
from tests.unit.releases import release

from .conftest import Gateway, free_port
from .releases import BACKUP, CONTENT, DIGEST, MANIFEST, TAR, VANILLA, command, every_version, vanilla


def test_the_factory_publishes_what_it_packs_from_the_checkout(vendor: Bucket, tmp_path: Path) -> None:
    tar = pack("orders", "vanilla")
    content = release("1.0.0") | {"vanilla": {"digest": sha256(tar), "size": len(tar)}}
    done = command("publish", str(tmp_path), vendor=vendor, stdin=content)
    assert (done.returncode, done.stdout) == (0, f"{digest_of(content)}\n"), done.stderr
    assert vendor.read(BACKUP) == tar
    document = json.loads(vendor.read(MANIFEST) or b"")
    assert manifest_of(document).digest == digest_of(content) == document["digest"]
    assert document["provenance"].keys() == {"commit", "dirty", "published"}
    changed = command("publish", str(tmp_path / "other"), vendor=vendor, stdin=release("1.1.0") | VANILLA)
    assert (changed.returncode, changed.stderr.count("\n")) == (1, 1)
    assert "vanilla.tar: is not what the manifest names: it changed meanwhile; publish again" in changed.stderr
    assert ReleaseStore(vendor).versions("orders") == ["1.0.0"]


@pytest.mark.parametrize(("key", "said"), [(MANIFEST, "manifest.json"), (BACKUP, "vanilla.tar")])
def test_an_object_that_was_altered_on_disk_is_refused(
    vendor: Bucket, customer: Bucket, gateway: Gateway, tmp_path: Path, key: str, said: str
) -> None:
    ReleaseStore(vendor).publish(CONTENT, {}, vanilla)
    path = gateway.folder / "objects" / vendor.bucket / key
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    done = command("copy", str(tmp_path / "cache"), "orders", "1.0.0", vendor=vendor, customer=customer)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{said}: is damaged in the store; restore it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert every_version(customer) == []


def test_an_archive_that_is_not_the_manifests_reaches_no_customer(
    vendor: Bucket, customer: Bucket, tmp_path: Path
) -> None:
    vendor.write(BACKUP, b"written by somebody else, before the manifest")
    document = {"content": CONTENT, "provenance": {}, "digest": DIGEST}
    vendor.write(MANIFEST, canonical(document))
    done = command("copy", str(tmp_path / "cache"), "orders", "1.0.0", vendor=vendor, customer=customer)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{vendor.bucket}/{BACKUP}: is not what the manifest names; restore it in the store")
    assert every_version(customer) == []


def wanted(version: str = "1.0.0", content: dict[str, Any] = CONTENT, **settings: Any) -> dict[str, Any]:
    return {
        "stack": "dev",
        "product": "orders",
        "version": version,
        "manifest": digest_of(content),
        "settings": settings,
    }


def test_an_installation_is_copied_and_recorded_once(
    releases: ReleaseStore, vendor: Bucket, customer: Bucket, tmp_path: Path
) -> None:
    releases.publish(CONTENT, {"commit": "abc"}, vanilla)

    def install(*, size: str) -> str:
        given = wanted(sizing={"default": size})
        done = command("install", str(tmp_path / "fresh"), vendor=vendor, customer=customer, stdin=given)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    first = install(size="S")
    incarnation = json.loads(customer.read(first) or b"")
    recorded = datetime.fromisoformat(incarnation.pop("recorded"))
    assert incarnation.pop("key") == first
    assert abs(datetime.now(UTC) - recorded) < timedelta(minutes=1)
    assert incarnation == wanted(sizing={"default": "S"}) | {
        "vanilla": {"key": BACKUP, "digest": sha256(TAR), "size": len(TAR)},
    }
    assert first == f"stacks/dev/incarnations/{recorded:%Y%m%dT%H%M%SZ}-{digest_of(incarnation)[7:19]}.json"
    assert ReleaseStore(customer).read("orders", "1.0.0").provenance == {"commit": "abc"}
    assert customer.read(BACKUP) == TAR

    before = every_version(customer)
    assert install(size="S") == first
    assert every_version(customer) == before
    time.sleep(1.1)  # the store tells times in seconds
    second = install(size="M")
    time.sleep(1.1)
    third = install(size="S")  # back: the stack is what it was, and that happened later
    assert len({first, second, third}) == 3
    assert json.loads(customer.read(third) or b"")["settings"] == {"sizing": {"default": "S"}}


def test_a_release_without_a_vanilla_backup_installs_from_a_folder_alone(customer: Bucket, tmp_path: Path) -> None:
    content = release("1.1.0")
    store_of(str(tmp_path), None).publish(content, {})
    done = command("install", str(tmp_path), customer=customer, stdin=wanted("1.1.0", content))
    assert done.returncode == 0, done.stderr
    assert json.loads(customer.read(done.stdout.strip()) or b"")["vanilla"] is None
    assert list(customer.oldest("releases/")) == ["releases/orders/1.1.0/manifest.json"]


def test_junk_among_the_incarnations_is_in_nobodys_way(customer: Bucket, tmp_path: Path) -> None:
    store_of(str(tmp_path), None).publish(CONTENT, {}, vanilla)
    customer.write("stacks/dev/incarnations/99991231T235959Z-aaaaaaaaaaaa.json", b"no JSON")
    done = command("install", str(tmp_path), customer=customer, stdin=wanted())
    assert done.returncode == 0, done.stderr
    assert json.loads(customer.read(done.stdout.strip()) or b"")["version"] == "1.0.0"


def test_an_incarnation_is_signed_and_one_that_is_not_is_in_nobodys_way(customer: Bucket, tmp_path: Path) -> None:
    store_of(str(tmp_path), None).publish(CONTENT, {}, vanilla)
    mine, theirs = (signing_key(key) for key in ("mine", "theirs"))

    def install(key: str) -> str:
        done = command("install", str(tmp_path), customer=customer, stdin=wanted(), key=key)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    first = install("mine")
    document = json.loads(customer.read(first) or b"")
    assert (signed(document, mine), signed(document, theirs)) == (True, False)
    assert not signed(document | {"version": "2.0.0"}, mine)
    assert install("mine") == first
    time.sleep(1.1)  # their names have seconds
    folder = "stacks/dev/incarnations"
    unsigned = {name: value for name, value in document.items() if name != "signature"}
    customer.write(f"{folder}/99991231T235959Z-aaaaaaaaaaaa.json", canonical(unsigned))
    customer.write(f"{folder}/99991231T235959Z-bbbbbbbbbbbb.json", canonical(document))  # it was signed for another key
    assert install("mine") == first
    other = install("theirs")
    assert other != first
    assert signed(json.loads(customer.read(other) or b""), theirs)
    assert install("mine") == first


def test_another_release_under_the_wanted_version_is_not_installed(customer: Bucket, tmp_path: Path) -> None:
    store_of(str(tmp_path), None).publish(CONTENT, {}, vanilla)
    done = command("install", str(tmp_path), customer=customer, stdin=wanted(content=release("1.0.0", images="b")))
    assert (done.returncode, "became another one" in done.stderr) == (1, True)
    assert every_version(customer) == []


def test_a_stack_that_runs_changes_while_its_store_is_down(
    customer: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine gives a command what it put out last: a new installation has nothing to fall back on."""
    store_of(str(tmp_path), None).publish(CONTENT, {}, vanilla)
    down = replace(customer, endpoint=f"http://127.0.0.1:{free_port()}")
    first = command("install", str(tmp_path), customer=down, stdin=wanted())
    assert (first.returncode, first.stdout, first.stderr.count("\n")) == (1, "", 1)
    monkeypatch.setenv("PULUMI_COMMAND_STDOUT", "stacks/dev/incarnations/earlier.json")
    later = command("install", str(tmp_path), customer=down, stdin=wanted())
    assert (later.returncode, later.stdout.startswith(PENDING)) == (0, True), later.stderr
    assert later.stderr.startswith("warning: not recorded in the account: ")
    again = command("install", str(tmp_path), customer=customer, stdin=wanted() | {"again": later.stdout.strip()})
    assert json.loads(customer.read(again.stdout.strip()) or b"")["version"] == "1.0.0"


@pytest.mark.parametrize("text", ["{", "[]", '{"bucket": "b"}', '"secret-key"'])
def test_an_account_that_is_none_is_named_and_not_shown(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STELE_VENDOR_ACCOUNT", text)
    done = command("copy", str(tmp_path), "orders", "1.0.0")
    assert (done.returncode, done.stderr) == (
        1, "STELE_VENDOR_ACCOUNT: not an account; allowed: the outputs of a storage stack as JSON\n",
    )  # fmt: skip
