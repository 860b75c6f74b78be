"""The drill loses nothing that it cannot bring back, and an engine that is gone or busy ends in one line."""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from docker.errors import APIError, NotFound

from commands import backup, drill
from commands.drill import VARIABLES
from commands.recover import RecoverError
from commands.site import MEND, PLAN_FILE, DrillError, Site, lose
from components import backup as components_backup
from hosts.engine_client import connect
from hosts.swarm_view import ENGINE_LABEL

OTHER = "tcp://127.0.0.1:2"
NOWHERE = "tcp://127.0.0.1:1"  # of a Unix socket that is not there, docker-py leaves its own end open


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody sleeps: the clock goes on by what they wanted to."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


@pytest.fixture(autouse=True)
def no_clients() -> None:
    """Each test has engines of its own, whatever their addresses."""
    connect.cache_clear()


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What a drill of a stack that runs did to it, on a machine where nothing is missing."""
    done: list[str] = []

    def orders(_: Site, verb: str, *_count: int, **_ids: Any) -> list[str]:
        done.append(verb)
        return []

    def runner(_: Site, word: str) -> str:
        done.append(word)
        return '{"name": "2026-11-25T02-00-00Z"}'

    (tmp_path / "Pulumi.dev.yaml").write_text("config: {stele:storage: dev-storage}\n")
    monkeypatch.setattr("commands.drill.CHECKOUT", tmp_path)
    monkeypatch.setattr(Site, "orders", orders)
    monkeypatch.setattr(Site, "runner", runner)
    monkeypatch.setattr(Site, "destroy", lambda _: done.append("destroy"))
    monkeypatch.setattr("hosts.namespaced_engine.os.geteuid", lambda: 0)
    monkeypatch.setattr("hosts.namespaced_engine.shutil.which", lambda name, path: f"/usr/sbin/{name}")
    # Should a check be missed, no real engine is started by a test.
    monkeypatch.setattr("commands.second_engine.SecondEngine.start", lambda _: pytest.fail(f"too late, after {done}"))
    monkeypatch.setattr(sys, "argv", ["make drill"])
    for name in VARIABLES:
        monkeypatch.setenv(name, NOWHERE)
    return done


def test_who_is_not_root_loses_nothing(
    happened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hosts.namespaced_engine.os.geteuid", lambda: 1000)
    assert drill.main() == 1
    told = "drill: the second engine needs root (network namespaces): sudo, or a machine of your own\n"
    assert (capsys.readouterr().err, happened) == (told, [])


@pytest.mark.parametrize("program", ["ip", "nsenter", "unshare", "dockerd", "haproxy"])
def test_where_a_program_is_missing_nothing_is_lost(
    program: str, happened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hosts.namespaced_engine.shutil.which", lambda name, path: None if name == program else name)
    assert drill.main() == 1
    told = f"drill: {program} is not installed: apt-get install iproute2 util-linux docker.io haproxy\n"
    assert (capsys.readouterr().err, happened) == (told, [])


@pytest.mark.parametrize("name", VARIABLES)
def test_without_a_variable_nothing_is_lost(
    name: str, happened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(name)
    assert drill.main() == 1
    assert (capsys.readouterr().err, happened) == (f'drill: {name} is not set: eval "$(make -s env)"\n', [])


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack that Pulumi knows, on an engine that does not answer."""
    monkeypatch.setattr(Site, "outputs", lambda *_: {"services": {"runner": "dev-backup-1"}})
    monkeypatch.setattr(Site, "pulumi", lambda *_: pytest.fail("the state is dropped only when all else is lost"))
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)


def test_a_stack_that_is_not_there_is_one_line(
    happened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make drill", "--stack", "nobody"])
    assert drill.main() == 1
    assert capsys.readouterr().err.startswith("drill: stack nobody: there is no Pulumi.nobody.yaml here; pulumi stack")
    assert not happened


def test_a_backup_tells_in_one_line_that_the_engine_does_not_answer(
    stack: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup.main("dev") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"the engine at {NOWHERE}: ")
    assert line.endswith(f"; {MEND}")


def test_a_backup_names_the_variable_that_is_not_set(
    stack: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DOCKER_HOST")
    assert backup.main("dev") == 1
    assert capsys.readouterr().err == 'DOCKER_HOST is not set: eval "$(make -s env)"\n'


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (137, "backup: no reason given"),
        (None, "the engine lost sight of the backup; the next make backup waits for it if it still runs"),
    ],
)
def test_a_runner_that_is_killed_in_a_backup_is_one_line(
    stack: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int | None, told: str
) -> None:
    swarm = swarm_of(tasks=[task("c1")])
    engines(monkeypatch, {NOWHERE: swarm | containers(c1=(code, b""))})
    assert backup.main("dev") == 1
    assert capsys.readouterr().err == f"{told}\n"


def task(container: str, node: str = "n1", at: str = "1", state: str = "running", **status: Any) -> dict[str, Any]:
    """One of the runner's tasks, as a manager sees it."""
    told = {"State": state, "ContainerStatus": {"ContainerID": container}} | status
    return {"CreatedAt": at, "NodeID": node, "DesiredState": "running", "Status": told}


def swarm_of(tasks: list[dict[str, Any]], files: tuple[str, ...] = (PLAN_FILE,), **labels: dict[str, str]) -> Any:
    """A manager's services, with a runner that has ``tasks`` and ``files``, and nodes by their labels."""

    def service(name: str, files: tuple[str, ...], tasks: list[dict[str, Any]]) -> Any:
        spec = {"ContainerSpec": {"Configs": [{"File": {"Name": each}} for each in files]} if files else {}}
        return SimpleNamespace(name=name, attrs={"Spec": {"TaskTemplate": spec}}, tasks=lambda: tasks)

    services = [service("dev-edge-1", (), []), service("dev-backup-1", files, tasks)]
    nodes = SimpleNamespace(get=lambda node: SimpleNamespace(attrs={"Spec": {"Labels": labels.get(node)}}))
    return {"services": SimpleNamespace(list=lambda **_: services), "nodes": nodes}


def containers(**said: tuple[int | None, bytes]) -> Any:
    """An engine's containers, with what a command in each says."""
    return {"containers": SimpleNamespace(get=lambda each: SimpleNamespace(exec_run=lambda _: said[each]))}


def engines(monkeypatch: pytest.MonkeyPatch, those: dict[str, Any]) -> None:
    """What is at each DOCKER_HOST."""
    found = {host: SimpleNamespace(**parts, close=lambda: None) for host, parts in those.items()}
    monkeypatch.setattr("docker.DockerClient", lambda base_url, **_: found[base_url])


def test_the_runner_is_found_on_whatever_host_it_is(
    stack: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # While a host leaves there are two of it.
    ended, leaving, stays = task("c1", "n2", "3", "shutdown"), task("c2", "n1", "1"), task("c3", "n2", "2")
    manager = swarm_of([stays, ended, leaving], n1={ENGINE_LABEL: NOWHERE}, n2={ENGINE_LABEL: OTHER})
    engines(monkeypatch, {NOWHERE: manager, OTHER: containers(c3=(0, b"stored\n"))})
    assert backup.main("dev") == 0
    assert capsys.readouterr().out == "stored\n"


def test_a_runners_host_that_does_not_answer_is_named(
    stack: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(_: str) -> Any:
        raise requests.ConnectionError("No route to host")

    parts = {"containers": SimpleNamespace(get=gone)}
    engines(monkeypatch, {NOWHERE: swarm_of([task("c1")], n1={ENGINE_LABEL: OTHER}), OTHER: parts})
    assert backup.main("dev") == 1
    told = "the runner is there: again once it answers, or the cluster has moved it"
    assert capsys.readouterr().err == f"the engine at {OTHER}: No route to host; {told}\n"


@pytest.mark.parametrize(
    ("manager", "told"),
    [
        (swarm_of([], ()), "dev has no task runner: without stele:storage there are no backups"),
        (swarm_of([]), "the task runner of dev does not run: no task; docker service logs dev-backup-1"),
        (
            swarm_of([task("c1", state="pending", Err="no suitable node")]),
            "the task runner of dev does not run: pending no suitable node; docker service logs dev-backup-1",
        ),
        (
            {"services": SimpleNamespace(list=lambda **_: [])},
            f"dev is not on the Swarm of {NOWHERE} (DOCKER_HOST): export that of its cluster, or pulumi up -s dev",
        ),
    ],
)
def test_a_runner_that_is_not_there_is_told_in_one_line(
    stack: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], manager: Any, told: str
) -> None:
    engines(monkeypatch, {NOWHERE: manager})
    assert backup.main("dev") == 1
    assert capsys.readouterr().err == f"{told}\n"


def test_a_runner_is_known_by_what_it_is_told() -> None:
    assert components_backup.PLAN_FILE == PLAN_FILE


class Engine(BaseHTTPRequestHandler):
    """As much of an engine as a command in the one runner needs; the command says nothing for longer than ANSWER."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        configs = [{"File": {"Name": PLAN_FILE}}]
        service = {"Name": "dev-backup-1", "TaskTemplate": {"ContainerSpec": {"Configs": configs}}}
        answers = {
            "version": {"ApiVersion": "1.44"},
            "services": [{"ID": "s", "Spec": service}],
            "tasks": [task("c")],
            "nodes": {"ID": "n1", "Spec": {}},
            "containers": {"Id": "c"},
            "exec": {"ExitCode": 0},
        }
        self._answer(next(answer for kind, answer in answers.items() if kind in self.path.split("?")[0].split("/")))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.endswith("/start"):
            self._answer({"Id": "e"})
            return
        self.send_response(101)
        self.end_headers()
        threading.Event().wait(1.5)  # time.sleep is the clock's
        self.wfile.write(struct.pack(">BxxxL", 1, 7) + b"stored\n")
        self.close_connection = True

    def _answer(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def quiet_engine() -> Iterator[str]:
    """The address of an engine whose commands are silent."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_backup_may_be_silent_for_longer_than_an_engine_may_take_to_answer(
    stack: None, quiet_engine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", quiet_engine)
    monkeypatch.setattr("commands.site.ANSWER", 1)
    assert backup.main("dev") == 0, capsys.readouterr().err
    assert capsys.readouterr().out == "stored\n"


def test_a_backup_tells_in_one_line_that_the_engine_hangs(
    stack: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("commands.site.ANSWER", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        host = f"tcp://127.0.0.1:{hung.getsockname()[1]}"
        monkeypatch.setenv("DOCKER_HOST", host)
        assert backup.main("dev") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"the engine at {host}: ")
    assert line.endswith(f"; {MEND}")


def test_an_engine_that_does_not_answer_is_one_line_when_the_stack_is_lost(stack: None) -> None:
    with pytest.raises(DrillError, match=rf"^the engine at {NOWHERE}: .+; {re.escape(MEND)}$"):
        Site.own("dev", "dev-storage").destroy()


def test_an_engine_that_goes_away_while_the_stack_is_lost_is_one_line(
    stack: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(**_: Any) -> list[Any]:
        raise requests.ConnectionError("Connection aborted.\nIt is gone")

    services = SimpleNamespace(list=gone)
    monkeypatch.setattr("docker.DockerClient", lambda **_: SimpleNamespace(services=services, close=lambda: None))
    with pytest.raises(DrillError, match=rf"^the engine at {NOWHERE}: Connection aborted\. It is gone; make dev"):
        Site.own("dev", "dev-storage").destroy()


class Held:
    """An object that is removed at an attempt after ``until`` seconds, or says ``problem``."""

    def __init__(self, name: str, until: float = 0, problem: type[APIError] = APIError) -> None:
        self.name, self.there = name, True
        self._until, self._problem = until, problem

    def remove(self, *, force: bool = False) -> None:
        if time.monotonic() < self._until:
            raise self._problem("409", explanation="it is in use")
        self.there = False


def engine(**kinds: list[Held]) -> Any:
    """An engine that holds these."""
    every = ("services", "containers", "configs", "secrets", "networks", "volumes")
    return SimpleNamespace(**{kind: SimpleNamespace(list=lambda _k=kind, **_: kinds.get(_k, [])) for kind in every})


def test_what_is_in_use_for_a_moment_is_waited_for() -> None:
    service, container, network, volume = Held("s"), Held("s.1", 5), Held("n", 30), Held("v", 59)
    lose(engine(services=[service], containers=[container], networks=[network], volumes=[volume]), "dev")
    assert not any(each.there for each in (service, container, network, volume))


def test_what_goes_by_itself_is_as_good_as_removed() -> None:
    volume = Held("v")
    lose(engine(services=[Held("s")], containers=[Held("s.1", 99, NotFound)], volumes=[volume]), "dev")
    assert not volume.there


def test_what_stays_in_use_ends_in_one_line(clock: list[float]) -> None:
    with pytest.raises(RecoverError, match=r"^v is still in use after 60 s: it is in use$"):
        lose(engine(volumes=[Held("v", 999)]), "dev")
    assert clock[0] == pytest.approx(60, abs=1)


def test_the_drill_tells_what_stays_in_use(
    happened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Site, "destroy", lambda _: lose(engine(networks=[Held("n", 999)]), "dev"))
    assert drill.main() == 1
    *_, line, mend = capsys.readouterr().err.splitlines()
    assert line == "drill: n is still in use after 60 s: it is in use"
    assert "make dev brings the stack back" in mend


@pytest.mark.parametrize("outputs", [{}, {"account": {}}])
def test_a_stack_that_does_not_run_is_one_line(monkeypatch: pytest.MonkeyPatch, outputs: dict[str, Any]) -> None:
    monkeypatch.setattr(Site, "outputs", lambda *_: outputs)
    with pytest.raises(DrillError, match="stack dev has no output services: it is no environment, or pulumi up -s dev"):
        Site.own("dev", "").runner("backup")
