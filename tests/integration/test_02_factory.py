"""The factory: four layers, small deltas, write-once releases, the same digests from the same inputs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from bench.lab import edits, ground
from bench.lab.images import layers
from bench.lab.workspace import Stack, Workspace
from tests.conftest import BASE
from tests.integration.conftest import FLOW, TEMPLATE


def manifest(workspace: Workspace, version: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((workspace.releases / "orders" / f"{version}.json").read_text())["content"]
    return content


def test_a_second_up_changes_nothing(factory: Stack) -> None:
    factory.up("--expect-no-changes")


def test_every_image_has_four_layers_on_top_of_base_and_blessed(factory: Stack) -> None:
    content = manifest(factory.workspace, BASE)
    registry = next(iter(factory.outputs()["images"].values())).partition("/")[0]
    families = content["families"]
    assert isinstance(families, dict)
    for name, entry in content["runtimes"].items():  # type: ignore[attr-defined]
        image = layers(f"{registry}/{entry['repository']}@{entry['digest']}")
        base = layers(f"{registry}/stele/base-{entry['family']}@{families[entry['family']]['base']}")
        blessed = layers(f"{registry}/stele/{entry['family']}@{families[entry['family']]['blessed']}")
        assert len(image) == 4, name
        assert image[:1] == base, name
        assert image[:2] == blessed, name
        assert len({layer.digest for layer in image}) == 4, name


def test_changing_one_flow_touches_only_the_upper_layers_of_that_runtime(releases: dict[str, dict[str, str]]) -> None:
    before, after = releases[BASE], releases[FLOW]
    assert {name for name in before if before[name] != after[name]} == {"ledger"}
    old, new = layers(before["ledger"]), layers(after["ledger"])
    assert new[:2] == old[:2]
    assert new[2] != old[2]
    assert new[3] == old[3]  # the configuration is the same, so its layer is


def test_a_new_template_version_regenerates_every_image(releases: dict[str, dict[str, str]]) -> None:
    before, after = releases[BASE], releases[TEMPLATE]
    assert {name for name in before if before[name] != after[name]} == set(before)


def test_a_published_version_is_never_published_with_other_content(
    factory: Stack, releases: dict[str, dict[str, str]]
) -> None:
    workspace = factory.workspace
    published = manifest(workspace, BASE)
    try:
        edits.change_flow(workspace, "ledger")
        done = factory.up(version=BASE, check=False)
    finally:
        workspace.reset()
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert f"release {BASE} is already published with other content (differs in ledger)" in said
    assert manifest(workspace, BASE) == published
    factory.up()  # with the flow put back, it is what was published
    assert factory.outputs()["images"] == releases[BASE]


@pytest.fixture(scope="module")
def elsewhere(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sources in another folder, as a checkout under umask 077 leaves them, with other times."""
    folder = tmp_path_factory.mktemp("a-rather-different-place") / "deeper" / "still"
    shutil.copytree(workspace.folder / "runtimes", folder / "runtimes")
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return folder


def rebuild(context: Path, dockerfile: Path, env: dict[str, str], arguments: dict[str, str], *more: str) -> str:
    """Build without any cache, with the arguments that the components give; the digest."""
    result = context.parent / f"{context.name}.metadata.json"
    export = "type=image,push=false,oci-mediatypes=true,rewrite-timestamp=true,force-compression=true"
    command = ["docker", "buildx", "build", "--builder", "stele", "--no-cache", "--provenance=false", "--quiet"]
    command += ["--platform", "linux/amd64", "--output", export, "--metadata-file", str(result), "-f", str(dockerfile)]
    command += [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    ground.run(*command, *more, str(context), env=env, cwd=context)
    digest: str = json.loads(result.read_text())["containerimage.digest"]
    return digest


@pytest.mark.parametrize("runtime", ["ledger", "notify"])
def test_the_same_inputs_give_the_same_image_anywhere(
    factory: Stack, releases: dict[str, dict[str, str]], elsewhere: Path, runtime: str
) -> None:
    workspace = factory.workspace
    inputs = next(
        resource["inputs"]
        for resource in factory.resources()
        if resource["type"].endswith("Image") and resource["urn"].endswith(f"::{runtime}-image")
    )
    folder = elsewhere / "runtimes" / "orders" / runtime
    dockerfile = elsewhere / Path(inputs["dockerfile"]["location"]).relative_to(workspace.folder)
    digest = rebuild(folder, dockerfile, workspace.env, inputs["buildArgs"])
    assert releases[BASE][runtime].endswith(f"@{digest}")


def test_the_same_packages_give_the_same_base_anywhere(factory: Stack, elsewhere: Path) -> None:
    workspace = factory.workspace
    published = manifest(workspace, BASE)["families"]["haproxy"]["base"]  # type: ignore[index]
    repository = f"{workspace.env['STELE_REGISTRY']}/stele/base-haproxy"
    env = workspace.env | {"STELE_REBUILD": "1"}
    done = ground.run("runtimes/base/bake", "haproxy", repository, "rebuilt", env=env, cwd=elsewhere)
    assert done.stdout.splitlines()[-1] == published
