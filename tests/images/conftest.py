"""The images of one release: read from the registry once, and started where they are asked how they behave."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from bench.lab.workspace import BACKUP_SECRETS, Stack, Workspace
from tests.images.image import Image, Reader

HERE = Path(__file__).parent
RUNTIMES = HERE.parents[1] / "runtimes"
# A task runner's plan whose store does not answer.
NOWHERE = {
    "stack": "images",
    "source": "images",
    "restore": "newest",
    "fenced": False,
    "timezone": "UTC",
    "storage": {"endpoint": "http://127.0.0.1:9", "bucket": "nobody", "access_key": "nobody"},
    "schema": {"needs": 1, "oldest": 1},
    "vanilla": None,
    "volumes": {},
}
NAMES = sorted(path.parent.name for path in RUNTIMES.glob("orders/*/runtime.yaml"))


def recipe(runtime: str) -> dict[str, Any]:
    """The keys of one runtime, laid over its family's."""
    own: dict[str, Any] = yaml.safe_load((RUNTIMES / "orders" / runtime / "runtime.yaml").read_text())
    family: dict[str, Any] = yaml.safe_load((RUNTIMES / own["family"] / "template.yaml").read_text())
    return family | own


@pytest.fixture(scope="session")
def references(factory: Stack) -> dict[str, str]:
    """By runtime, its image by digest."""
    found: dict[str, str] = factory.outputs()["images"]
    assert sorted(found) == NAMES
    return found


@pytest.fixture(scope="session")
def reader(workspace: Workspace) -> Reader:
    """Looks in every file for paths of the folders in which images are built, here and in earlier runs."""
    return Reader(needles=(str(workspace.root), "/runtimes/orders/", "/runtimes/blessed/"))


@pytest.fixture(scope="session")
def images(reader: Reader, references: dict[str, str]) -> dict[str, Image]:
    """By runtime, what the registry holds."""
    return {name: reader.read(reference) for name, reference in references.items()}


class Containers:
    """Containers as the orchestrator would start them, but without network: what a runtime needs is not there."""

    def __init__(self) -> None:
        self._client: Any = docker.DockerClient.from_env(timeout=60)
        self._made: list[Any] = []

    def start(self, image: str, files: dict[str, str]) -> Any:
        """A new container, with ``files`` in place before it starts."""
        self._client.images.pull(image)
        container = self._client.containers.create(image, network_mode="none")
        self._made.append(container)
        container.put_archive("/", _archive(files))
        container.start()
        return container

    def close(self) -> None:
        """Remove them all."""
        for container in self._made:
            container.remove(force=True, v=True)
        self._client.close()


def _archive(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text.encode()), 0o444
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def given(runtime: str) -> dict[str, str]:
    """What an environment would put into a container of this runtime."""
    secrets = BACKUP_SECRETS | {"storage-secret": "of-a-store-that-is-not-there"}
    files = {f"run/secrets/{name}": secrets[name] for name in recipe(runtime).get("secrets", [])}
    files["etc/stele/environment.properties"] = "ENVIRONMENT=images\n"
    if recipe(runtime).get("front"):
        files["etc/stele/version.json"] = "{}"
    if recipe(runtime).get("tasks"):
        files["etc/stele/backup.json"] = json.dumps(NOWHERE)
    return files


@pytest.fixture(scope="package")  # as long as one runs it is asked for its health
def containers(platform: dict[str, str]) -> Iterator[Containers]:
    """Whatever is started is removed at the end."""
    # testinfra runs `docker` in this process's own environment.
    os.environ.update({name: platform[name] for name in ("PATH", "DOCKER_HOST", "DOCKER_CONFIG")})
    made = Containers()
    yield made
    made.close()


@pytest.fixture(scope="package")
def running(containers: Containers, references: dict[str, str]) -> dict[str, Any]:
    """One container of every runtime, started together."""
    return {name: containers.start(reference, given(name)) for name, reference in references.items()}
