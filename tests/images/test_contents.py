"""What is in every image, and what must not be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.lab import ground
from bench.lab.workspace import Workspace
from tests.images.conftest import NAMES, RUNTIMES, recipe
from tests.images.image import Image
from tests.images.inspections import INSPECTIONS, Inspection, newer_than, packages


@pytest.mark.parametrize("runtime", NAMES)
@pytest.mark.parametrize("inspection", INSPECTIONS, ids=lambda inspection: inspection.__name__)
def test_nothing_is_found(images: dict[str, Image], inspection: Inspection, runtime: str) -> None:
    assert inspection(images[runtime]) == []


@pytest.mark.parametrize("runtime", NAMES)
def test_nothing_is_newer_than_the_template(images: dict[str, Image], runtime: str) -> None:
    declared = re.search(r"^epoch: (\d+)$", (RUNTIMES / "template.yaml").read_text(), re.MULTILINE)
    assert declared
    assert newer_than(images[runtime], int(declared[1])) == []


@pytest.mark.parametrize("runtime", NAMES)
def test_it_is_labelled_as_what_it_is(images: dict[str, Image], runtime: str) -> None:
    settings, keys = images[runtime].settings, recipe(runtime)
    labels = settings["Labels"]
    assert (labels["stele.runtime"], labels["stele.family"]) == (runtime, keys["family"])
    assert settings["StopSignal"] == keys["stop"]["signal"]
    assert "9000/tcp" in settings["ExposedPorts"]


def test_a_family_shares_its_lower_two_layers(workspace: Workspace, images: dict[str, Image]) -> None:
    lower: dict[str, set[tuple[str, ...]]] = {}
    for image in images.values():
        lower.setdefault(image.family, set()).add(tuple(layer.digest for layer in image.layers[:2]))
    for family, found in lower.items():
        assert len(found) == 1, family
    # Nothing of one family is another's.
    assert len({digest for found in lower.values() for layers in found for digest in layers}) == 2 * len(lower)


def locked(text: str) -> set[str]:
    """``name=version`` of every line of a lock file."""
    return {line.split()[0] for line in text.splitlines() if line and not line.startswith("#")}


@pytest.mark.parametrize("runtime", NAMES)
def test_the_packages_are_the_locked_ones(
    workspace: Workspace, images: dict[str, Image], runtime: str, tmp_path: Path
) -> None:
    family, installed = images[runtime].family, packages(images[runtime])
    lock = workspace.folder / "runtimes" / family / "packages.lock"
    if installed != locked(lock.read_text()):
        # A mirror that has moved on makes the build use a refreshed lock, and keep it: ask for that one.
        lock = tmp_path / "packages.lock"
        ground.run("runtimes/base/bootstrap", "--lock", family, lock, env=workspace.env, cwd=workspace.folder)
    assert installed == locked(lock.read_text())
