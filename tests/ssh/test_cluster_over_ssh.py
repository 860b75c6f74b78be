"""A cluster of machines that somebody else boots: they join over SSH, are patched by new ones, and leave."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import docker
import pytest

from bench.lab import edits
from bench.lab.door import Door
from bench.lab.workspace import SECRETS, Stack, Workspace, wait_until
from components.release_store import FolderReleaseStore
from hosts.swarm_view import SwarmView, runs
from hosts.wanted import HOST_LABEL
from tests.conftest import BASE
from tests.ssh.machines import PREFIX, Login, Machine, machines
from tests.unit.releases import host_image, release

# docker-py leaves a socket open when it meets an engine that does not answer.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
OLD, NEW = "image-1", "image-2"
VERSIONS = {"1.0.0": OLD, "1.1.0": NEW}
WINDOW = 120  # seconds
BOTH = ["a manager ready", "b worker ready"]
PRODUCT, PORT = "tiny", 18072
PASSWORD = {"database-password": SECRETS["database-password"]}
SERVICE, IMAGE = "everywhere", "127.0.0.1:1/busybox"  # where no registry is: nobody waits for one


@dataclass
class Cluster:
    """The stack, and the machines by the end of their address."""

    stack: Stack
    machines: dict[int, Machine]

    def settings(self, **hosts: tuple[str, int]) -> dict[str, Any]:
        """The stack's hosts: role, and which machine."""
        return {name: {"role": role, "address": self.machines[number].user} for name, (role, number) in hosts.items()}

    def view(self, number: int) -> SwarmView:
        """What the manager on this machine sees, asked without SSH."""
        return SwarmView(self.stack.name, [self.machines[number].host])

    def nodes(self, number: int) -> list[str]:
        """All nodes as that manager sees them: which host, its role, and whether it is ready."""
        plain = ((each["Spec"], each["Status"]) for each in self.view(number).nodes())
        return sorted(f"{spec['Labels'].get(HOST_LABEL)} {spec['Role']} {status['State']}" for spec, status in plain)


@pytest.fixture(scope="module")
def cluster(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two machines with the first image, two with the second. No stack is up."""
    store = FolderReleaseStore(workspace.releases)
    for version, image in VERSIONS.items():
        store.publish(release(version, host=host_image(image)), {})
    folder = tmp_path_factory.mktemp("machines")
    login = Login(folder / "login")
    numbered = {1: OLD, 2: OLD, 3: NEW, 4: NEW}
    registry = workspace.env["STELE_REGISTRY"]
    with machines(folder, login, numbered, registry) as found, pytest.MonkeyPatch.context() as patch:
        patch.setitem(workspace.env, "PATH", f"{login.bin}:{workspace.env['PATH']}")
        patch.setitem(workspace.env, "DOCKER_HOST", workspace.env["DOCKER_HOST"])  # back to this one in the end
        stack = Stack(workspace, "t-ssh", {"kind": "cluster", "version": "1.0.0", "window": WINDOW}, {})
        yield Cluster(stack, found)


def test_machines_join_over_ssh(cluster: Cluster) -> None:
    cluster.stack.up(hosts=cluster.settings(a=("manager", 1), b=("worker", 2)))
    assert cluster.nodes(1) == BOTH
    assert cluster.stack.outputs()["engine"] == "ssh://root@10.83.9.1"
    cluster.stack.up("--expect-no-changes")


def test_a_host_that_refuses_or_is_no_such_image_is_told_and_nothing_changes(cluster: Cluster) -> None:
    stack, before = cluster.stack, cluster.settings(a=("manager", 1), b=("worker", 2))
    nobody = {"role": "worker", "address": "root@10.83.9.99"}
    for host, said in (
        (nobody, "host c: looks: root@10.83.9.99 refuses SSH: "),
        (cluster.settings(c=("worker", 3))["c"], f"root@10.83.9.3 runs host image {NEW}, the release has {OLD}: boot"),
    ):
        failed = stack.up(check=False, hosts=before | {"c": host})
        assert failed.returncode != 0
        assert said in failed.stdout + failed.stderr, failed.stdout
        assert cluster.nodes(1) == BOTH
    stack.up(hosts=before)


def test_a_host_that_alone_has_data_is_not_removed(cluster: Cluster) -> None:
    with closing(client_of(cluster, 2)) as client:
        volume = client.volumes.create("orders-data")
        failed = cluster.stack.up(check=False, hosts=cluster.settings(a=("manager", 1)))
        volume.remove()
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    mend = "docker -H ssh://root@10.83.9.2 volume rm orders-data"
    assert "host b: it alone has volume orders-data: move that data first (docs/restore.md), or, " in said, said
    assert mend in said, said
    cluster.stack.up(hosts=cluster.settings(a=("manager", 1), b=("worker", 2)))
    assert cluster.nodes(1) == BOTH


@pytest.fixture(scope="module")
def product(cluster: Cluster) -> Stack:
    """The small product on it, as its customers deploy it: DOCKER_HOST is what the cluster's stack says."""
    workspace = cluster.stack.workspace
    edits.add_small_product(workspace, PRODUCT)
    workspace.factory("t-ssh-release", version=BASE, product=PRODUCT).up()
    point(cluster)
    state = cluster.machines[1].folder.parent / "state"  # every machine has this one's file system
    state.mkdir()
    settings = {"version": BASE, "product": PRODUCT, "cluster": cluster.stack.name, "state": str(state), "port": PORT}
    stack = workspace.environment("t-over-ssh", PASSWORD, **settings, window=WINDOW)
    stack.up()
    return stack


def point(cluster: Cluster) -> None:
    """Let environments talk to a manager that is there."""
    cluster.stack.workspace.env["DOCKER_HOST"] = cluster.stack.outputs()["engine"]


def test_an_environment_is_deployed_over_ssh(cluster: Cluster, product: Stack) -> None:
    for number in (1, 2):
        assert front_door(number) == {"status": "ok"}
    query(cluster, "insert into stones values ('from the old machines')")
    product.up("--expect-no-changes")


def front_door(number: int) -> Any:
    """What it answers on this machine."""
    return json.loads(Door(f"http://{PREFIX}.{number}:{PORT}").get("/").text)


def query(cluster: Cluster, text: str) -> str:
    """What the database says, of whose two tasks one stands by."""
    words = ["psql", "--host=/run/stele", "--username=stele", "--dbname=tiny", "--tuples-only", "--no-align"]
    for machine in cluster.machines.values():
        with closing(docker.DockerClient(base_url=machine.host)) as client:
            for container in client.containers.list(filters={"name": "-store-"}):
                code, answer = container.exec_run([*words, f"--command={text}"], user="10001")
                if code == 0:
                    assert isinstance(answer, bytes)
                    return answer.decode().strip()
    raise AssertionError(f"no database answers: {text}")


def client_of(cluster: Cluster, number: int) -> Any:
    """A client of the engine on this machine, without SSH."""
    return docker.DockerClient(base_url=cluster.machines[number].host)


@pytest.fixture(scope="module")
def service(cluster: Cluster) -> Iterator[Any]:
    """A service with two tasks, of an image that every machine has."""
    for number in cluster.machines:
        with closing(client_of(cluster, number)) as client:
            client.api.import_image_from_data(_busybox(), repository=IMAGE)
    with closing(client_of(cluster, 1)) as client:
        mode = docker.types.ServiceMode("replicated", replicas=2)
        yield client.services.create(IMAGE, name=SERVICE, command=["/busybox", "sleep", "1000"], mode=mode)


def _busybox() -> bytes:
    """A root with one program."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(str(shutil.which("busybox")), "busybox")
    return archive.getvalue()


def test_new_machines_take_over_and_the_old_ones_leave(cluster: Cluster, product: Stack, service: Any) -> None:
    hosts = cluster.settings(a=("manager", 3), b=("worker", 4))
    cluster.stack.up(version="1.1.0", hosts=hosts)
    assert cluster.nodes(3) == BOTH
    assert [cluster.machines[number].swarm for number in (1, 2, 3, 4)] == ["inactive", "inactive", "active", "active"]
    assert whole(cluster, 3)
    cluster.stack.up("--expect-no-changes")

    for number in (3, 4):
        assert front_door(number) == {"status": "ok"}
    assert query(cluster, "select id from stones") == "from the old machines"
    point(cluster)
    product.up("--expect-no-changes")


def test_the_environment_goes_over_ssh(cluster: Cluster, product: Stack) -> None:
    product.workspace.pulumi("destroy", "--yes", "--skip-preview", "-s", product.name)
    for number in (3, 4):
        with closing(client_of(cluster, number)) as client:
            assert not client.containers.list(filters={"name": product.name})
    assert [each["Spec"]["Name"] for each in cluster.view(3).services()] == [SERVICE]


def whole(cluster: Cluster, number: int) -> bool:
    """Whether the service has its two tasks, as the manager on this machine sees it."""
    view = cluster.view(number)
    nodes = {each["ID"] for each in view.nodes()}
    service = next(each for each in view.services() if each["Spec"]["Name"] == SERVICE)
    tasks = [task for task in view.tasks(service=service["ID"]) if runs(task)]
    return (
        len(tasks) == service["Spec"]["Mode"]["Replicated"]["Replicas"] == 2 and {t["NodeID"] for t in tasks} <= nodes
    )


def test_a_machine_of_this_cluster_is_no_other_host_of_it(cluster: Cluster) -> None:
    failed = cluster.stack.up(check=False, hosts=cluster.settings(a=("manager", 3), c=("worker", 4)))
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert "host c: looks: 10.83.9.4 is host b of this cluster: each host needs a machine of its own" in said, said
    cluster.stack.up(hosts=cluster.settings(a=("manager", 3), b=("worker", 4)))
    assert cluster.nodes(3) == BOTH


def test_a_host_that_serves_and_refuses_ssh_stays_and_one_that_is_dead_is_removed(cluster: Cluster) -> None:
    machine, left = cluster.machines[4], cluster.settings(a=("manager", 3))
    machine.refuse()
    failed = cluster.stack.up(check=False, hosts=left)
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0  # who knows what data is on it
    assert "host b: looks: root@10.83.9.4 refuses SSH: " in said, said
    assert cluster.nodes(3) == BOTH

    machine.kill()
    wait_until("the manager knows", lambda: "b worker down" in cluster.nodes(3), WINDOW)
    cluster.stack.up(hosts=left)
    assert cluster.nodes(3) == BOTH[:1]
    wait_until("the tasks are elsewhere", lambda: whole(cluster, 3), WINDOW)


def test_the_last_host_leaves_when_nothing_runs_on_it(cluster: Cluster) -> None:
    destroy = ("destroy", "--yes", "--skip-preview", "-s", cluster.stack.name)
    refused = cluster.stack.workspace.pulumi(*destroy, check=False)
    said = refused.stdout + refused.stderr
    assert f"host a: {SERVICE} still runs on this cluster" in said, said
    with closing(client_of(cluster, 3)) as client:
        client.services.get(SERVICE).remove()
    cluster.stack.up()  # the refused destroy is behind it
    cluster.stack.workspace.pulumi(*destroy)
    assert cluster.machines[3].swarm == "inactive"
