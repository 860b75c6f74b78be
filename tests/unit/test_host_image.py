"""What a host image declares: one bake, which the content of its template decides."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from components import host_image
from components.host_image import HostImage
from tests.unit.conftest import Declare


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
