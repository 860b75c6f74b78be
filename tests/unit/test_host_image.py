"""What a host image declares: one bake, which the content of its template decides; and what a release names of it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components import host_image, release_commands
from components.host_image import FILES, HostImage
from components.manifest import sha256
from tests.unit.conftest import Declare
from tests.unit.releases import release


def host(releases: str) -> SimpleNamespace:
    """A host image of these releases, with its entry in the manifest as output."""
    return SimpleNamespace(outputs={"host": HostImage("host", releases, "1").baked})


def test_what_is_baked_goes_into_the_manifest_without_how_it_was(declare: Declare) -> None:
    _, outputs = declare(lambda: host("/releases"))
    entry = outputs["host"]
    assert entry.pop("folder").startswith("hosts/")
    assert entry == {"disk": "sha256:d", "size": 7, "tree": "sha256:t", "sbom": "sha256:s", "lock": "sha256:l"}


def bakes(declare: Declare) -> list[str]:
    """The commands that a host image of these releases declares."""
    seen, _ = declare(lambda: host("/some where/releases"))
    return [inputs["create"] for inputs in seen.of_type("local:Command").values()]


def test_another_content_is_another_folder(declare: Declare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_image, "PACKER", tmp_path)
    (tmp_path / "packages.lock").write_text("docker.io=1 0\n")
    first, again = bakes(declare), bakes(declare)
    (tmp_path / "packages.lock").write_text("docker.io=2 0\n")
    (other,) = bakes(declare)
    assert first == again != [other]
    assert other.startswith("packer/bake '/some where/releases'/hosts/")


def test_hosts_say_that_they_are_what_the_folder_is_called(declare: Declare) -> None:
    seen, _ = declare(lambda: host("/releases"))
    (inputs,) = seen.of_type("local:Command").values()
    assert inputs["environment"]["STELE_IMAGE_VERSION"] == inputs["create"].rpartition("/")[2]


@pytest.fixture
def image(tmp_path: Path) -> dict[str, Any]:
    """The entry of an image that was baked beside the releases."""
    folder = tmp_path / "hosts/1"
    folder.mkdir(parents=True)
    for name in FILES.values():
        (folder / name).write_text(name)
    baked = {key: sha256(name.encode()) for key, name in FILES.items()}
    return baked | {"size": 10, "tree": "sha256:t", "folder": "hosts/1"}


def publish(releases: Path, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """Publish a release that names that image, as `pulumi up` does."""
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(release("1.0.0", host=entry))))
    return release_commands.main(["publish", str(releases)])


def test_a_release_names_the_image_that_is_there(
    image: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publish(tmp_path, image, monkeypatch) == 0
    assert json.loads((tmp_path / "orders/1.0.0.json").read_text())["content"]["host"] == image


@pytest.mark.parametrize(("key", "name"), FILES.items())
@pytest.mark.parametrize("damage", ["altered", "gone"])
def test_an_image_that_is_not_what_was_baked_is_told_and_nothing_is_published(
    image: dict[str, Any],
    tmp_path: Path,
    key: str,
    name: str,
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "hosts/1" / name
    path.unlink()
    if damage == "altered":
        path.write_text("damaged")
    assert publish(tmp_path, image, monkeypatch) == 1
    found = sha256(b"damaged") if damage == "altered" else "missing"
    assert capsys.readouterr().err == f"{path} is {found}, the release says {image[key]}: {host_image.MEND}\n"
    assert not (tmp_path / "orders").exists()
