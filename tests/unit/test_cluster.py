"""A cluster declares a chain of hosts; an environment on it is on all of them, its data where each can take over."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.cluster import Cluster
from components.cluster_reference import LOST_PEERS, ground_of
from components.cluster_settings import ClusterSettings
from components.environment import Environment
from components.places import ReleaseError
from components.release_store import FolderReleaseStore
from components.settings import EnvironmentSettings, SettingsError, parse
from hosts.wanted import Role, Wanted
from tests.unit.conftest import Declare, Recorder
from tests.unit.releases import host_image, release

ENGINE = "unix:///run/a/docker.sock"
THREE = {"a": "manager", "b": "manager", "c": "manager"}
REMOTE = {
    "a": {"role": "manager", "address": "root@10.0.0.1"},
    "b": {"role": "worker", "address": "root@10.0.0.2"},
}
UP = {"hosts": {name: {"engine": f"unix:///run/{name}/docker.sock", "role": role} for name, role in THREE.items()}}
SERVICE = "service:Service"
RELEASES = {"1.0.0": "", "1.1.0": "", "2.0.0": "abc", "2.1.0": "abc", "2.2.0": "def"}


@pytest.fixture
def releases(tmp_path: Path) -> str:
    """Releases 1.0.0 and 1.1.0; 2.0.0 and 2.1.0 have one host image, and 2.2.0 another."""
    store = FolderReleaseStore(tmp_path)
    for version, host in RELEASES.items():
        store.publish(release(version, host=host_image(host) if host else None), {})
    return str(tmp_path)


def settings(releases: str, **values: Any) -> ClusterSettings:
    given = {"kind": "cluster", "version": "1.0.0", "hosts": THREE} | values
    raw = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    parsed = parse(raw, defaults={"registry": "registry:5000", "releases": releases})
    assert isinstance(parsed, ClusterSettings)
    return parsed


def wanted(recorder: Recorder) -> dict[str, Wanted]:
    """What each host is told to be."""
    return {
        name.removesuffix("-host"): Wanted.of(inputs["stdin"])
        for name, inputs in recorder.of_type("local:Command").items()
        if name.endswith("-host")
    }


@pytest.fixture
def cluster(declare: Declare, releases: str) -> Callable[..., tuple[Recorder, Any]]:
    """Declare a cluster."""
    return lambda **values: declare(lambda: Cluster("hosts", settings(releases, **values)))


def test_hosts_change_one_after_the_other_managers_first(cluster: Callable[..., tuple[Recorder, Any]]) -> None:
    recorder, outputs = cluster(hosts={"z": "manager", "a": "worker", "m": "worker"})
    assert list(wanted(recorder)) == ["z", "a", "m"]
    assert recorder.after["a-host"] >= {"z-host"}
    assert recorder.after["m-host"] >= {"a-host"}
    assert recorder.after["hosts-unused"] >= {"z-host", "a-host", "m-host"}  # so a destroy asks that one first
    assert {name: host["role"] for name, host in outputs["hosts"].items()} == {
        "z": "manager",
        "a": "worker",
        "m": "worker",
    }


def test_another_version_is_another_machine_and_a_revert_the_same(cluster: Callable[..., tuple[Recorder, Any]]) -> None:
    first, patched, reverted = (wanted(cluster(version=each)[0]) for each in ("1.0.0", "1.1.0", "1.0.0"))
    assert first == reverted
    assert all(first[name].generation != patched[name].generation for name in THREE)


def test_one_more_host_leaves_the_others_as_they_are(cluster: Callable[..., tuple[Recorder, Any]]) -> None:
    before, after = wanted(cluster()[0]), wanted(cluster(hosts=THREE | {"d": "worker"})[0])
    assert {name: after[name] for name in before} == before
    assert after["d"].role is Role.WORKER


def test_a_host_over_ssh_is_told_its_image_and_who_knows_the_cluster(
    cluster: Callable[..., tuple[Recorder, Any]],
) -> None:
    told = wanted(cluster(version="2.0.0", hosts=REMOTE)[0])
    assert {name: (host.address, host.image, host.peers) for name, host in told.items()} == {
        "a": ("root@10.0.0.1", "abc", ("root@10.0.0.1", "root@10.0.0.2")),
        "b": ("root@10.0.0.2", "abc", ("root@10.0.0.1",)),
    }


def test_a_host_over_ssh_is_another_with_another_image_or_address(
    cluster: Callable[..., tuple[Recorder, Any]],
) -> None:
    def generation(version: str, address: str) -> str:
        host = {"role": "manager", "address": address}
        return wanted(cluster(version=version, hosts={"a": host})[0])["a"].generation

    first = generation("2.0.0", "root@10.0.0.1")
    assert generation("2.1.0", "root@10.0.0.1") == first  # the same image
    assert len({first, generation("2.2.0", "root@10.0.0.1"), generation("2.0.0", "root@10.0.0.2")}) == 3


def test_hosts_over_ssh_need_a_host_image(
    cluster: Callable[..., tuple[Recorder, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        cluster(version="1.0.0", hosts=REMOTE)
    said = "stele:version: '1.0.0' is not allowed; allowed: a release with a host image (pulumi config set host true -s"
    assert said in caplog.text


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"hosts": {}}, "stele:hosts: '{}' is not allowed; allowed: a role for each host"),
        ({"hosts": "a"}, "stele:hosts: 'a' is not allowed"),
        ({"hosts": {"a": "boss"}}, "stele:hosts.a: 'boss' is not allowed; allowed: manager | worker"),
        ({"hosts": {"a": ["manager"]}}, "stele:hosts.a: '[\"manager\"]' is not allowed; allowed: manager | worker"),
        ({"hosts": {"a": {"address": "root@10.0.0.1"}}}, 'stele:hosts.a: \'{"address": "root@10.0.0.1"}\' is not'),
        ({"hosts": {"a": REMOTE["a"] | {"size": 1}}}, "stele:hosts.a: "),
        (
            {"hosts": {"a": REMOTE["a"] | {"address": "root@db1"}}},
            "stele:hosts.a.address: 'root@db1' is not allowed; allowed: USER@IP, where SSH lets you in",
        ),
        ({"hosts": {"a": REMOTE["a"] | {"address": "root@10.0.0.256"}}}, "stele:hosts.a.address: 'root@10.0.0.256' is"),
        ({"hosts": {"a": REMOTE["a"] | {"address": "root@010.0.0.1"}}}, "stele:hosts.a.address: 'root@010.0.0.1' is"),
        ({"hosts": {"a": REMOTE["a"] | {"address": "root@127.0.0.1"}}}, "stele:hosts.a.address: 'root@127.0.0.1' is"),
        (
            {"hosts": {"a": REMOTE["a"], "b": REMOTE["b"] | {"address": "me@10.0.0.1"}}},
            "stele:hosts: '10.0.0.1' is not allowed; allowed: an address of its own for each host",
        ),
        (
            {"hosts": {"a": REMOTE["a"], "b": "worker"}},
            'stele:hosts: \'{"a": {"role": "manager", "address": "root@10.0.0.1"}, "b": "worker"}\' is not',
        ),
        ({"hosts": {"A": "manager"}}, "stele:hosts.A: 'A' is not allowed; allowed: names of lower-case letters"),
        ({"hosts": {"a": "worker"}}, "stele:hosts: '0 managers' is not allowed; allowed: 1, 3, 5 or 7 managers"),
        ({"hosts": {"a": "manager", "b": "manager"}}, "stele:hosts: '2 managers' is not allowed"),
        ({"subnet": "10.0.0.0/30"}, "stele:subnet: '10.0.0.0/30' is not allowed; allowed: a private IPv4 network"),
        ({"subnet": "8.8.8.0/24"}, "stele:subnet: '8.8.8.0/24' is not allowed"),
        ({"window": "1"}, "stele:window: '1' is not allowed; allowed: a whole number from 5 to 3600"),
        ({"color": "red"}, "stele:color: '(unknown key)' is not allowed"),
        ({"version": "1"}, "stele:version: '1' is not allowed"),
    ],
)
def test_a_bad_value_is_one_line(releases: str, values: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings(releases, **values)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["version", "hosts"])
def test_what_is_missing_is_named(missing: str) -> None:
    raw = {"kind": "cluster", "version": "1.0.0", "hosts": '{"a": "manager"}'}
    del raw[missing]
    with pytest.raises(SettingsError, match=rf"stele:{missing}: '\(not set\)' is not allowed; .*pulumi config set"):
        parse(raw, defaults={"registry": "r", "releases": "/r"})


Deploy = Callable[..., tuple[Recorder, Any]]


@pytest.fixture
def deploy(declare: Declare, releases: str, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """Declare an environment on the three hosts."""
    monkeypatch.setenv("DOCKER_HOST", ENGINE)

    def run(up: dict[str, Any] | None = None, **values: str) -> tuple[Recorder, Any]:
        raw = {"version": "1.0.0", "broker-password": "battery-staple", "cluster": "hosts"} | values
        parsed = parse(raw, defaults={"registry": "registry:5000", "releases": releases})
        assert isinstance(parsed, EnvironmentSettings)
        return declare(lambda: Environment("dev", parsed), UP if up is None else up)

    return run


def shape(recorder: Recorder) -> dict[str, tuple[int, Any]]:
    """Replicas and placement by runtime."""
    found = {}
    for name, inputs in recorder.of_type(SERVICE).items():
        replicas = inputs["mode"]["replicated"]["replicas"]
        found[name.rpartition("-")[0]] = (int(replicas), inputs["taskSpec"].get("placement"))
    return found


def test_on_a_cluster_nothing_is_there_once(deploy: Deploy) -> None:
    recorder, _ = deploy(state="/srv/stele")
    alone = {"maxReplicas": 1}
    assert shape(recorder) == {
        "edge": (3, alone),
        "edge-gate": (3, alone),
        "intake": (2, alone),
        "broker": (2, alone),
    }


def test_data_is_in_a_folder_that_every_host_has_and_made_before_its_owner(deploy: Deploy) -> None:
    recorder, _ = deploy(state="/srv/stele")
    assert not recorder.of_type("volume:Volume")
    (broker,) = (name for name in recorder.of_type(SERVICE) if name.startswith("broker-"))
    (mount,) = recorder.of_type(SERVICE)[broker]["taskSpec"]["containerSpec"]["mounts"]
    assert mount == {"type": "bind", "source": "/srv/stele/dev-broker-data", "target": "/data"}
    assert "broker-data-folder" in recorder.after[broker]


def test_a_container_on_a_cluster_gives_up_on_a_peer_that_is_lost(deploy: Deploy) -> None:
    recorder, _ = deploy()
    patience = {
        name.rpartition("-")[0]: inputs["taskSpec"]["containerSpec"].get("sysctl")
        for name, inputs in recorder.of_type(SERVICE).items()
    }
    assert patience.pop("edge-gate") is None  # on the host's own network stack
    assert all(each == LOST_PEERS for each in patience.values()), patience


def test_without_such_a_folder_data_and_its_owner_stay_on_the_first_host(deploy: Deploy) -> None:
    recorder, _ = deploy()
    assert shape(recorder)["broker"] == (1, {"constraints": ["node.labels.stele.host==a"]})
    assert recorder.of_type("volume:Volume")


def test_another_folder_is_another_generation(deploy: Deploy) -> None:
    assert deploy(state="/srv/one")[1]["services"]["broker"] != deploy(state="/srv/two")[1]["services"]["broker"]


def test_callers_of_a_cluster_come_from_elsewhere(deploy: Deploy) -> None:
    recorder, _ = deploy()
    gates = [inputs["data"] for name, inputs in recorder.of_type("ServiceConfig").items() if "gate" in name]
    assert any("GATE_EXPOSURE=all" in base64.b64decode(data).decode() for data in gates), recorder.of_type(
        "ServiceConfig"
    )


@pytest.mark.parametrize(
    ("up", "host", "line"),
    [
        ({}, ENGINE, "stele:cluster: 'hosts' is not allowed; allowed: a cluster stack that is up: pulumi up -s hosts"),
        (UP, "unix:///var/run/docker.sock", "with DOCKER_HOST the engine of a (it is 'unix:///var/run/docker.sock')"),
        (UP, "unix:///run/b/docker.sock", "with DOCKER_HOST the engine of a (it is 'unix:///run/b/docker.sock')"),
        (UP, "", "with DOCKER_HOST the engine of a (it is 'not set'); export DOCKER_HOST=unix:///run/a/docker.sock"),
    ],
)
def test_an_environment_is_on_the_cluster_that_it_names(
    deploy: Deploy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    up: dict[str, Any],
    host: str,
    line: str,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(SystemExit):
        deploy(up=up)
    assert line in caplog.text


def running(cluster: str | None, place: str | None) -> dict[str, Any]:
    """The last outputs of a stack that runs, with its data there."""
    recorded = {"state": {"cluster": cluster, "place": place}} if cluster else {}
    return UP | recorded | {"services": {"broker": "dev-broker-1"}}


@pytest.mark.parametrize(
    ("up", "state", "line"),
    [
        (
            running(None, None),
            None,
            "stele:cluster: 'hosts' is not allowed; allowed: (none), where this stack's data is",
        ),
        (running("other", "a"), None, "stele:cluster: 'hosts' is not allowed; allowed: other, where this stack's data"),
        (running("hosts", "/srv/one"), "/srv/two", "stele:state: '/srv/two' is not allowed; allowed: /srv/one, where"),
        (running("hosts", "/srv/one"), None, "stele:state: '(not set)' is not allowed; allowed: /srv/one, where"),
        (running("hosts", "a"), "/srv/two", "stele:state: '/srv/two' is not allowed; allowed: nothing, with a cluster"),
        (running("hosts", "gone"), None, "allowed: nothing, with a cluster whose manager gone is, where this stack's"),
    ],
)
def test_data_stays_where_it_is(
    deploy: Deploy, caplog: pytest.LogCaptureFixture, up: dict[str, Any], state: str | None, line: str
) -> None:
    with pytest.raises(SystemExit):
        deploy(up=up, **({"state": state} if state else {}))
    assert line in caplog.text


def test_a_new_first_manager_does_not_move_data(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/b/docker.sock")
    recorder, outputs = deploy(up=running("hosts", "b"))
    assert shape(recorder)["broker"] == (1, {"constraints": ["node.labels.stele.host==b"]})
    assert outputs["state"] == {"cluster": "hosts", "place": "b"}


def test_with_a_folder_any_manager_will_do(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/c/docker.sock")
    _, outputs = deploy(state="/srv/stele")
    assert outputs["state"] == {"cluster": "hosts", "place": "/srv/stele"}


def test_a_folder_without_a_cluster_is_refused() -> None:
    with pytest.raises(SettingsError, match="stele:state: '/srv' is not allowed; allowed: nothing without cluster"):
        parse({"version": "1.0.0", "state": "/srv"}, defaults={"registry": "r", "releases": "/r"})


def one_engine(swarm: str | None, before: dict[str, Any]) -> str | None:
    """The Swarm that an environment without a cluster is on."""
    settings = parse({"version": "1.0.0"}, defaults={"registry": "r", "releases": "/r"})
    assert isinstance(settings, EnvironmentSettings)
    return ground_of(replace(settings, swarm=swarm), None, before).swarm


@pytest.mark.parametrize(
    ("swarm", "before", "kept"),
    [
        ("one", {}, "one"),
        ("one", {"services": {"edge": "e"}, "swarm": "one"}, "one"),
        ("two", {"services": {}, "swarm": "one"}, "two"),  # it was destroyed: a move
        ("two", {"services": {"edge": "e"}}, "two"),  # by an earlier Stele
        (None, {"services": {"edge": "e"}, "swarm": "one"}, "one"),  # an engine that says nothing
    ],
)
def test_an_environment_knows_its_engine(swarm: str | None, before: dict[str, Any], kept: str) -> None:
    assert one_engine(swarm, before) == kept


def test_another_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/b/docker.sock")
    told = r"^DOCKER_HOST \(unix:///run/b/docker\.sock\) is Swarm two, and this stack runs on Swarm one: eval "
    with pytest.raises(ReleaseError, match=told):
        one_engine("two", {"services": {"edge": "e"}, "swarm": "one"})
