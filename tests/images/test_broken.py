"""The inspections can fail: an image with one of each fault, on which each must be reported."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from bench.lab import ground
from bench.lab.workspace import Workspace
from tests.images import inspections
from tests.images.conftest import Containers
from tests.images.image import Image, Reader
from tests.images.test_running import ask, end

EPOCH = 1767225600
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHVub3RhcmVhbGtleWJ1dGEgdGVzdA==\n"
FILES = {  # path: mode, owner, text
    "usr/bin/escalate": (0o4755, 0, "#!/bin/sh\n"),
    "root/.bash_history": (0o600, 0, "ls\n"),
    "opt/stele/.psql_history": (0o644, 0, "select 1\n"),
    "opt/stele/lib/server.pem": (0o644, 0, KEY),
    "opt/stele/config/more.properties": (0o755, 0, "broker.password=hunter2\n"),
    "var/log/dpkg.log": (0o644, 0, "installed\n"),
    "var/lib/apt/lists/mirror": (0o644, 0, "Package: x\n"),
    "etc/everybody": (0o666, 0, "\n"),
    "etc/mine": (0o644, 10001, "built in /runtimes/orders/notify\n"),
    "etc/passwd": (0o644, 0, "root:x:0:0::/root:/bin/sh\ntoor::0:0::/:/bin/sh\nstele:x:10001:10001::/:/bin/sh\n"),
    "etc/ssl/certs/ca-certificates.crt": (0o644, 0, ""),
    "opt/stele/diagnose": (0o644, 0, "#!/bin/bash\n"),
    "opt/stele/health": (0o755, 10001, "#!/bin/bash\nexit 3\n"),
    # Nothing handles signals here, and PID 1 is spared the ones it does not handle.
    "opt/stele/run": (0o755, 0, "#!/bin/bash\nexec sleep 600\n"),
    "var/lib/dpkg/status": (0o644, 0, "Package: surprise\nStatus: install ok installed\nVersion: 1\n"),
}
DOCKERFILE = """FROM {image}
ADD files.tar /
ENV BROKER_PASSWORD=hunter2
LABEL built-in=/home/somebody/stele
USER 0
VOLUME /data
HEALTHCHECK CMD /opt/stele/health ready
ENTRYPOINT exec /opt/stele/run
"""
REPORTED: dict[inspections.Inspection, list[str]] = {
    inspections.runs_as_stele: ["the image runs as '0'", "root is not the only superuser", "toor has a password"],
    inspections.starts_without_a_shell: ["the entry is ['/bin/sh'", "the health check is ['CMD-SHELL'"],
    inspections.hooks_are_in_place: ["/opt/stele/diagnose (file, 0644", "/opt/stele/health (file, 0755, 10001"],
    inspections.nothing_is_writable: ["/etc/everybody", "/etc/mine", "volume /data is declared"],
    inspections.nothing_gives_privileges: ["/usr/bin/escalate"],
    inspections.nothing_is_left_over: [
        "/root/.bash_history",
        "/opt/stele/.psql_history",
        "/var/log/dpkg.log",
        "/var/lib/apt/lists/mirror",
    ],
    inspections.no_secret_is_inside: [
        "/opt/stele/lib/server.pem (file, 0644, 0:0) holds a private key",
        "/opt/stele/config/more.properties (file, 0755, 0:0) says 'broker.password",
        "/etc/mine (file, 0644, 10001:10001) holds '/runtimes/orders/'",
        "BROKER_PASSWORD looks like a secret",
        "history: ENV BROKER_PASSWORD",
        "history: path /home/somebody/stele",
    ],
    inspections.certificates_are_there: ["the CA bundle is not there"],
    inspections.plain_files_do_not_run: ["/opt/stele/config/more.properties"],
    inspections.layers_are_the_four: ["5 layers"],
}


@pytest.fixture(scope="module")
def broken(workspace: Workspace, references: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image derived from a good one, in the registry; its reference."""
    folder: Path = tmp_path_factory.mktemp("broken")
    with tarfile.open(folder / "files.tar", "w") as archive:
        for path, (mode, owner, text) in FILES.items():
            member = tarfile.TarInfo(path)
            member.mode, member.uid, member.gid, member.mtime = mode, owner, owner, EPOCH + 1
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    (folder / "Dockerfile").write_text(DOCKERFILE.format(image=references["notify"]))
    reference = f"{workspace.env['STELE_REGISTRY']}/tests/broken:latest"
    command = ["docker", "buildx", "build", "--builder", "stele", "--provenance=false", "--quiet"]
    command += ["--output", f"type=image,name={reference},push=true,oci-mediatypes=true", str(folder)]
    ground.run(*command, env=workspace.env)
    return reference


@pytest.fixture(scope="module")
def found(reader: Reader, broken: str) -> Image:
    """What the registry holds of it."""
    return reader.read(broken)


def test_every_inspection_is_tried() -> None:
    assert set(REPORTED) == set(inspections.INSPECTIONS)


@pytest.mark.parametrize("inspection", REPORTED, ids=lambda inspection: inspection.__name__)
def test_each_fault_is_reported(found: Image, inspection: inspections.Inspection) -> None:
    said = inspection(found)
    assert [fault for fault in REPORTED[inspection] if not any(fault in line for line in said)] == [], said


def test_files_of_the_wrong_layer_are_reported(found: Image) -> None:
    base, blessed, flows, _, extra = found.layers
    said = inspections.layers_are_the_four(Image("", found.config, (base, blessed, flows, extra)))
    assert any(line.startswith("config: /usr/bin/escalate") for line in said)
    said = inspections.layers_are_the_four(Image("", found.config, (blessed, base, extra, flows)))
    assert {line.partition(":")[0] for line in said} >= {"base", "blessed", "flows", "config"}
    said = inspections.layers_are_the_four(Image("", found.config, (base, blessed, blessed, flows)))
    assert any(line.startswith("flows and configuration are ") for line in said)


def test_new_files_and_other_packages_are_reported(found: Image) -> None:
    assert any("/etc/mine" in line for line in inspections.newer_than(found, EPOCH))
    assert inspections.packages(found) == {"surprise=1"}


def test_a_deaf_runtime_and_a_bad_hook_are_noticed(containers: Containers, broken: str) -> None:
    container = containers.start(broken, {})
    assert ask(container, "health live")[0] == 3
    assert ask(container, "diagnose")[0] == 126
    assert end(container, "SIGTERM", limit=2) is None
