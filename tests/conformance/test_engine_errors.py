"""What goes wrong on a real engine, and what is left of it."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import docker
from .plugin import Json, Plugin, RefusedError, recorded
from .samples import CONFIG, NETWORK, SECRET, SERVICE, VOLUME, checked, created, encoded, urn, web


def services(engine: str, prefix: str) -> list[str]:
    """The names of the services of a test."""
    return docker(engine, "service", "ls", "--filter", f"name={prefix}", "--format", "{{.Name}}").split()


def deleted(plugin: Plugin, token: str, identity: str, state: Json) -> Json:
    """Delete, as the engine asks for it."""
    return plugin.call("Delete", {"urn": urn(token, "x"), "id": identity, "properties": state})


def test_a_service_that_never_gets_healthy_is_removed_again(plugin: Plugin, prefix: str, engine: str) -> None:
    inputs = checked(plugin, SERVICE, "web", web(f"{prefix}-web", healthy=False, timeout="6s"))
    with pytest.raises(RefusedError) as refused:
        plugin.call("Create", {"urn": urn(SERVICE, "web"), "properties": inputs})
    (official,) = (call.errors[0] for call in recorded("Create", plugin="docker") if call.errors)
    identity = refused.value.text.split("(")[1].split(")")[0]
    assert refused.value.text == official.replace("4i4waeqgrqdk04nidednfvoh0", identity).replace("20s", "6s")
    assert services(engine, prefix) == []


@pytest.mark.parametrize(("token", "kind"), [(SECRET, "secret"), (CONFIG, "config")])
def test_a_secret_or_config_in_use_cannot_be_deleted(
    plugin: Plugin, prefix: str, engine: str, token: str, kind: str
) -> None:
    name = f"{prefix}-{kind}"
    identity, _, state = created(plugin, token, "x", {"name": name, "data": encoded("x")})
    given = web(f"{prefix}-web", replicas=1)
    entry = {f"{kind}Id": identity, f"{kind}Name": name, "fileName": "/tmp/x"}
    given["taskSpec"]["containerSpec"][f"{kind}s"] = [entry]
    service, _, service_state = created(plugin, SERVICE, "web", given)
    with pytest.raises(RefusedError, match=f"{kind} '{name}' is in use by the following service: {prefix}-web"):
        deleted(plugin, token, identity, state)
    deleted(plugin, SERVICE, service, service_state)
    deleted(plugin, token, identity, state)
    assert docker(engine, kind, "ls", "-q", "--filter", f"name={name}") == ""


def test_an_update_that_does_not_get_healthy_reports_the_rollback(plugin: Plugin, prefix: str) -> None:
    given = web(f"{prefix}-web", replicas=1)
    given["updateConfig"] = {"failureAction": "rollback", "order": "start-first", "monitor": "3s"}
    identity, inputs, state = created(plugin, SERVICE, "web", given)
    bad = checked(plugin, SERVICE, "web", {**given, **web(f"{prefix}-web", replicas=1, healthy=False)}, inputs)
    request = {"urn": urn(SERVICE, "web"), "id": identity, "olds": state, "news": bad}
    with pytest.raises(RefusedError) as refused:
        plugin.call("Update", request)
    (official,) = (call.errors[0] for call in recorded("Update", plugin="docker") if call.errors)
    expected = official.replace("urn:pulumi:dev::demo::docker:index/service:Service::web", urn(SERVICE, "web"))
    assert refused.value.text.split("of task ")[0] == expected.split("of task ")[0]
    assert "grpc-status-details-bin" in refused.value.metadata, "the engine would lose the service"


def test_an_update_gets_the_new_tasks_running(plugin: Plugin, prefix: str) -> None:
    given = web(f"{prefix}-web", replicas=1)
    identity, inputs, state = created(plugin, SERVICE, "web", given)
    wanted = checked(plugin, SERVICE, "web", web(f"{prefix}-web", replicas=2, text="v2"), inputs)
    answer = plugin.call("Update", {"urn": urn(SERVICE, "web"), "id": identity, "olds": state, "news": wanted})
    service = answer["properties"]
    assert service["mode"]["replicated"] == {"replicas": 2}
    assert service["taskSpec"]["containerSpec"]["env"] == {"VERSION": "v2"}
    plan = plugin.call("Diff", {"urn": urn(SERVICE, "web"), "id": identity, "olds": service, "news": wanted})
    assert plan["changes"] == "DIFF_NONE"


def test_a_network_in_use_is_deleted_once_it_is_free(plugin: Plugin, prefix: str, engine: str) -> None:
    name = f"{prefix}-net"
    identity, _, state = created(plugin, NETWORK, "net", {"name": name, "driver": "bridge"})
    container = docker(engine, "run", "-d", "--rm", "--network", name, "stele-conformance:1", "sleep", "300").strip()
    with ThreadPoolExecutor() as pool:
        ending = pool.submit(deleted, plugin, NETWORK, identity, state)
        with pytest.raises(TimeoutError):
            ending.result(timeout=1.0)
        docker(engine, "kill", container)
        assert ending.result(timeout=120) == {}
    assert name not in docker(engine, "network", "ls", "--format", "{{.Name}}").split()


@pytest.mark.parametrize(
    ("token", "kind", "given"),
    [
        (NETWORK, "network", {"driver": "overlay"}),
        (VOLUME, "volume", {}),
        (SECRET, "secret", {"data": encoded("x")}),
        (CONFIG, "config", {"data": encoded("x")}),
        (SERVICE, "service", web("", replicas=1)),
    ],
)
def test_what_is_gone_already_reads_as_gone_and_deletes_as_done(
    plugin: Plugin, prefix: str, engine: str, token: str, kind: str, given: Json
) -> None:
    name = f"{prefix}-gone"
    identity, inputs, state = created(plugin, token, "gone", {**given, "name": name})
    docker(engine, kind, "rm", name)
    request = {"urn": urn(token, "gone"), "id": identity, "properties": state, "inputs": inputs}
    assert plugin.call("Read", request) == {}
    assert deleted(plugin, token, identity, state) == {}


@pytest.mark.parametrize(
    ("token", "given"),
    [
        (NETWORK, {"driver": "overlay", "attachable": True}),
        (VOLUME, {"labels": [{"label": "a", "value": "b"}]}),
        (CONFIG, {"data": encoded("x")}),
        (SERVICE, web("", replicas=1)),
    ],
)
def test_an_import_gives_inputs_that_pass_the_check_and_change_nothing(
    plugin: Plugin, prefix: str, token: str, given: Json
) -> None:
    identity, _, _ = created(plugin, token, "x", {**given, "name": f"{prefix}-x"})
    found = plugin.call("Read", {"urn": urn(token, "x"), "id": identity})
    inputs = checked(plugin, token, "x", found["inputs"])
    plan = plugin.call("Diff", {"urn": urn(token, "x"), "id": identity, "olds": found["properties"], "news": inputs})
    assert (plan["changes"], plan.get("detailedDiff")) == ("DIFF_NONE", None)


def test_a_cancelled_creation_leaves_nothing(plugin: Plugin, prefix: str, engine: str) -> None:
    inputs = checked(plugin, SERVICE, "web", web(f"{prefix}-web", healthy=False, timeout="100s"))
    with ThreadPoolExecutor() as pool:
        creation = pool.submit(plugin.call, "Create", {"urn": urn(SERVICE, "web"), "properties": inputs})
        appeared(engine, prefix)
        plugin.cancel()
        with pytest.raises(RefusedError, match="cancelled while waiting for the Docker engine"):
            creation.result(timeout=120)
    assert services(engine, prefix) == []


def appeared(engine: str, prefix: str) -> None:
    """Wait until the service of the test exists."""
    waiting = threading.Event()
    for _ in range(100):
        if services(engine, prefix):
            return
        waiting.wait(0.1)
    raise AssertionError("the service never appeared")


def test_a_dead_engine_is_one_clear_line() -> None:
    plugin = Plugin("docker", {"DOCKER_HOST": "unix:///nonexistent/docker.sock"})
    try:
        with pytest.raises(RefusedError) as refused:
            plugin.call("Create", {"urn": urn(VOLUME, "v"), "properties": {"name": "v"}})
    finally:
        plugin.close()
    message = refused.value.text.split("* ", 1)[1].strip()
    assert "\n" not in message
    assert "unix:///nonexistent/docker.sock is reachable" in message
    assert "Is the docker daemon running?" in message


@pytest.fixture
def mute_engine(tmp_path: Path) -> Iterator[str]:
    """A socket that accepts connections and never answers."""
    path = str(tmp_path / "mute.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    yield f"unix://{path}"
    listener.close()


def test_a_mute_engine_is_one_clear_line(mute_engine: str) -> None:
    plugin = Plugin("docker", {"DOCKER_HOST": mute_engine})
    try:
        with pytest.raises(RefusedError, match=r"did not answer within 10s"):
            plugin.call("Read", {"urn": urn(VOLUME, "v"), "id": "v", "properties": {"name": "v"}})
    finally:
        plugin.close()


def test_the_configured_host_wins_over_the_environment(engine: str, prefix: str) -> None:
    plugin = Plugin("docker", {"DOCKER_HOST": "unix:///nonexistent/docker.sock"})
    try:
        plugin.call("Configure", {"args": {"host": engine}})
        identity, _, _ = created(plugin, VOLUME, "v", {"name": f"{prefix}-v"})
        assert identity == f"{prefix}-v"
    finally:
        plugin.close()


def test_the_lookup_of_a_network(plugin: Plugin, prefix: str) -> None:
    name = f"{prefix}-net"
    identity, _, state = created(plugin, NETWORK, "net", {"name": name, "driver": "overlay"})
    found = plugin.call("Invoke", {"tok": "docker:index/getNetwork:getNetwork", "args": {"name": name}})["return"]
    assert (found["id"], found["driver"], found["scope"]) == (identity, "overlay", "swarm")
    assert found["ipamConfigs"][0]["subnet"] == state["ipamConfigs"][0]["subnet"]
    with pytest.raises(RefusedError, match="Could not find docker network"):
        plugin.call("Invoke", {"tok": "docker:index/getNetwork:getNetwork", "args": {"name": f"{name}-no"}})


def test_a_task_that_ignores_the_stop_signal_is_waited_for(plugin: Plugin, prefix: str, engine: str) -> None:
    """Its container is killed after the stop period; the deletion must outlast that, or the state keeps a ghost."""
    given = web(f"{prefix}-web", replicas=1)
    container = given["taskSpec"]["containerSpec"]
    container |= {"commands": ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"], "stopGracePeriod": "2s"}
    container["healthcheck"]["tests"] = ["CMD", "true"]
    identity, _, state = created(plugin, SERVICE, "web", given)
    assert deleted(plugin, SERVICE, identity, state) == {}
    left = subprocess.run(
        ["docker", "-H", engine, "ps", "-aq", "--filter", f"name={prefix}-web"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert left.stdout == ""
