"""What a host's commands decide without an engine: addresses and majorities."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException

from hosts.__main__ import main
from hosts.engine_client import connect
from hosts.leaving import Leaving
from hosts.local_machines import LocalEngine, LocalMachines, Switch
from hosts.machines import Machine
from hosts.namespaced_engine import EngineError, pids_of
from hosts.ssh_machines import SshMachines
from hosts.steps import Steps
from hosts.wanted import HostError, Role, Wanted

ROOT = Path(__file__).resolve().parents[2]
WANTED = Wanted(
    cluster="hosts",
    name="b",
    generation="g2",
    role=Role.MANAGER,
    subnet="10.83.0.0/28",
    window=5,
)


def test_a_host_survives_being_told(tmp_path: Path) -> None:
    assert Wanted.of(WANTED.to_json()) == WANTED


def test_a_host_from_before_hosts_over_ssh_is_known() -> None:
    plain = json.loads(WANTED.to_json())
    assert Wanted.of(json.dumps({key: plain[key] for key in plain.keys() - {"address", "image", "peers"}})) == WANTED


@pytest.mark.parametrize("arguments", [[], ["up"], ["converge", "more"]])
def test_usage(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hosts", *arguments], cwd=ROOT, capture_output=True, text=True, input=""
    )
    assert (done.returncode, done.stderr) == (2, "usage: python -m hosts converge | remove | unused < host.json\n")


def machines(root: Path, *taken: str) -> LocalMachines:
    """Machines with these addresses."""
    for number, address in enumerate(taken):
        folder = root / "hosts" / f"h{number}-g"
        folder.mkdir(parents=True)
        (folder / "host.json").write_text(json.dumps({"name": f"h{number}", "generation": "g", "address": address}))
    return LocalMachines("hosts", WANTED.subnet, root)


@pytest.mark.parametrize(
    ("taken", "next_one"),
    [
        ([], "10.83.0.1"),
        (["10.83.0.1", "10.83.0.2"], "10.83.0.3"),
        (["10.83.0.2", "10.83.0.3"], "10.83.0.4"),  # .1 was just given up
        (["10.83.0.13"], "10.83.0.1"),
        (["10.83.0.1", "10.83.0.13"], "10.83.0.2"),
    ],
)
def test_an_address_is_not_used_again_at_once(tmp_path: Path, taken: list[str], next_one: str) -> None:
    assert machines(tmp_path, *taken).free_address() == next_one


def test_a_full_subnet_is_named(tmp_path: Path) -> None:
    full = machines(tmp_path, *(f"10.83.0.{each}" for each in range(1, 14)))
    with pytest.raises(HostError, match=r"stele:subnet: 10\.83\.0\.0/28 has no free address; pulumi config set subnet"):
        full.free_address()


REMOTE = replace(WANTED, address="root@10.0.0.2", peers=("root@10.0.0.1", "root@10.0.0.2", "root@10.0.0.3"))


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """An ``ssh`` that does this."""

    def does(script: str) -> None:
        (tmp_path / "ssh").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return does


def test_over_ssh_who_may_know_the_cluster_is_asked_once(ssh: Callable[[str], None]) -> None:
    ssh("exit 255")
    before = Machine("b", "g1", "10.0.0.9", "ssh://root@10.0.0.9")
    machines = SshMachines(REMOTE, before)
    assert [(each.name, each.generation, each.engine) for each in machines.all()] == [
        ("b", "g2", "ssh://root@10.0.0.2"),
        ("b", "g1", "ssh://root@10.0.0.9"),
        ("", "", "ssh://root@10.0.0.1"),
        ("", "", "ssh://root@10.0.0.3"),
    ]


def test_over_ssh_a_host_that_stays_where_it_was_is_one_machine(ssh: Callable[[str], None]) -> None:
    ssh("exit 255")
    stays = Machine("b", "g1", "10.0.0.2", "ssh://root@10.0.0.2")
    assert [each.generation for each in SshMachines(replace(REMOTE, peers=()), stays).all()] == ["g2"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo Connection refused >&2; exit 255", "root@10.0.0.2 refuses SSH: Connection refused; boot it with host"),
        ("exit 255", "root@10.0.0.2 refuses SSH: no answer; boot it"),
        ("echo other", "root@10.0.0.2 runs host image other, the release has abc: boot a machine with that one, and"),
        ("echo abc; echo no daemon >&2; exit 1", "the engine of root@10.0.0.2 does not answer: no daemon"),
    ],
)
def test_over_ssh_a_machine_that_is_no_host_is_told(ssh: Callable[[str], None], script: str, said: str) -> None:
    ssh(script)
    with pytest.raises(HostError) as told:
        SshMachines(replace(REMOTE, image="abc"), None).find("b", "g2")
    assert str(told.value).startswith(said)
    assert "\n" not in str(told.value)


def test_an_engine_over_ssh_that_refuses_says_why(ssh: Callable[[str], None]) -> None:
    ssh("echo 'Permission denied (publickey).' >&2; exit 255")
    with pytest.raises(DockerException, match=r"root@10\.0\.0\.7 refuses SSH: Permission denied \(publickey\)\."):
        connect("ssh://root@10.0.0.7")


@pytest.mark.parametrize(("before", "address"), [("unix:///run/b.sock", "root@10.0.0.2"), ("ssh://root@10.0.0.2", "")])
def test_a_cluster_stays_what_it_is(before: str, address: str) -> None:
    printed = {"address": "10.0.0.2", "engine": before, "generation": "g1"}
    done = subprocess.run(
        [sys.executable, "-m", "hosts", "converge"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        input=replace(WANTED, address=address).to_json(),
        env=os.environ | {"PULUMI_COMMAND_STDOUT": json.dumps(printed)},
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"host b: it is {before}: engines of this machine do not become machines over SSH")
    assert done.stderr.count("\n") == 1


class View:
    """Managers as a Swarm reports them: ``m1`` reachable, ``m2-`` not."""

    def __init__(self, *names: str) -> None:
        self._all: list[dict[str, Any]] = [
            {
                "ID": name.rstrip("-"),
                "Spec": {"Role": "manager"},
                "ManagerStatus": {"Reachability": "unreachable" if name.endswith("-") else "reachable"},
            }
            for name in names
        ]

    def nodes(self) -> list[dict[str, Any]]:
        return self._all

    def managers(self) -> list[dict[str, Any]]:
        return [node for node in self._all if node["ManagerStatus"]["Reachability"] == "reachable"]


@pytest.mark.parametrize(
    ("managers", "leaves", "may"),
    [
        (["m1", "m2", "m3", "m4"], "m1", True),  # the successor has joined
        (["m1", "m2", "m3"], "m1", True),
        (["m1-", "m2", "m3"], "m1", True),  # a dead one is forgotten
        (["m1-", "m2", "m3"], "m2", False),
        (["m1-", "m2-", "m3"], "m1", False),
        (["m1", "m2-", "m3", "m4"], "m1", True),
        (["m1", "m2-", "m3-", "m4", "m5"], "m1", False),
        (["m1", "m2"], "m1", True),
    ],
)
def test_managers_keep_their_majority(managers: Sequence[str], leaves: str, may: bool) -> None:
    view: Any = View(*managers)
    leaving = Leaving(Steps("b", 5), view, next(each for each in view.nodes() if each["ID"] == leaves))
    if may:
        leaving.check_majority()
    else:
        with pytest.raises(HostError, match=r"host b: looks: \d of \d managers answer: .*bring another one back first"):
            leaving.check_majority()


@pytest.mark.parametrize("verb", ["unused", "remove"])
def test_silence_is_no_answer_unless_the_cluster_is_given_up(tmp_path: Path, verb: str) -> None:
    machines(tmp_path, "10.83.0.1")  # nobody answers there
    wanted = replace(WANTED, name="h0", generation="g").to_json()
    command = [sys.executable, "-m", "hosts", verb]

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"STELE_HOSTS": str(tmp_path)} | more
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, input=wanted, env=env)

    refused = run()
    assert refused.returncode == 1
    assert "bring it back; or give up what is on hosts: STELE_GIVE_UP=hosts" in (refused.stderr)
    assert run(STELE_GIVE_UP="another").returncode == 1
    assert (tmp_path / "hosts" / "h0-g").exists()
    assert run(STELE_GIVE_UP="hosts").returncode == 0
    assert (tmp_path / "hosts" / "h0-g").exists() == (verb == "unused")


@dataclass
class Off:
    """What `LocalMachines` does with engines that are off, without an engine."""

    started: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> Off:
    off = Off()

    def start(engine: LocalEngine) -> None:
        off.started.append(engine.folder.name)
        if (engine.folder / "broken").exists():
            raise EngineError("the engine does not start: disk full")

    monkeypatch.setattr(LocalEngine, "processes", lambda engine: [1] if engine.folder.name in off.running else [])
    monkeypatch.setattr(LocalEngine, "start_again", start)
    return off


def kept(root: Path, name: str, what: str) -> None:
    """What an engine that is off has in its folder."""
    (root / "hosts" / name / "engine" / what).mkdir(parents=True)


def test_a_lost_host_without_data_stays_lost(tmp_path: Path, off: Off) -> None:
    own = machines(tmp_path, "10.83.0.1", "10.83.0.2")
    for name in ("h0-g", "h1-g"):
        kept(tmp_path, name, "swarm/docker-state.json")
    kept(tmp_path, "h1-g", f"volumes/{'0' * 64}")  # that nobody has named
    off.running = {"h0-g"}
    own.wake()
    assert off.started == []


def test_one_with_data_is_switched_on(tmp_path: Path, off: Off) -> None:
    own = machines(tmp_path, "10.83.0.1", "10.83.0.2")
    kept(tmp_path, "h1-g", "volumes/orders-data")
    off.running = {"h0-g"}
    own.wake()
    assert off.started == ["h1-g"]


def test_after_this_machine_was_off_all_are_switched_on(tmp_path: Path, off: Off) -> None:
    own = machines(tmp_path, "10.83.0.1", "10.83.0.2", "10.83.0.3")
    for name in ("h0-g", "h1-g"):
        kept(tmp_path, name, "swarm/docker-state.json")
    (tmp_path / "hosts" / "h0-g" / "broken").touch()  # then it is lost, and the others go on
    own.wake()
    assert off.started == ["h0-g", "h1-g"]


def test_data_on_one_that_does_not_start_is_told(tmp_path: Path, off: Off) -> None:
    own = machines(tmp_path, "10.83.0.1")
    kept(tmp_path, "h0-g", "volumes/orders-data")
    (tmp_path / "hosts" / "h0-g" / "broken").touch()
    with pytest.raises(HostError, match=r"^host h0: it has volume orders-data and does not start: .*full: mend"):
        own.wake()


def test_what_a_kill_left_of_an_engine_goes(tmp_path: Path) -> None:
    own = machines(tmp_path, "10.83.0.1")
    (tmp_path / "hosts" / "b-host-g2").mkdir()  # before it said what it is
    own.take_away(own.all()[0])
    assert not (tmp_path / "hosts").exists()


def test_of_an_engine_that_did_not_start_the_console_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(engine: LocalEngine) -> None:
        (engine.folder / "engine.log").write_text("no space left\nexiting\n")
        raise EngineError("the engine does not start: exiting")

    monkeypatch.setattr(LocalEngine, "check", lambda _: None)
    monkeypatch.setattr(LocalEngine, "_switch_on", run)
    own = machines(tmp_path)
    with pytest.raises(HostError, match="does not start: exiting"):
        own.bring_up(WANTED)
    assert own.console(WANTED.name, WANTED.generation) == ["no space left", "exiting"]
    assert own.all() == []


def test_another_subnet_under_running_hosts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Switch, "_address", lambda _: "10.83.0.14/28")
    assert Switch("hosts", "10.83.0.0/28").is_there()
    with pytest.raises(HostError, match=r"^stele:subnet: 10\.84\.0\.0/28 is not allowed; allowed: 10\.83\.0\.0/28, "):
        LocalMachines("hosts", "10.84.0.0/28", Path()).find("a", "g")


def test_without_root_it_is_told_what_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hosts.__main__.ROOT", tmp_path / "hosts")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "stdin", io.StringIO(WANTED.to_json()))
    assert main(["converge"]) == 1
    assert capsys.readouterr().err.startswith("host b: the engine needs root (network namespaces): sudo, or a machine")
    assert not (tmp_path / "hosts").exists()


def test_who_looks_at_an_engines_folder_is_none_of_it(tmp_path: Path) -> None:
    log, engine = tmp_path / "data" / "engine.log", tmp_path / "dockerd"
    log.parent.mkdir()
    log.touch()
    shutil.copy(str(shutil.which("tail")), engine)
    running = [subprocess.Popen([program, "-f", str(log)]) for program in (engine, "tail")]
    try:
        assert pids_of(log.parent) == [running[0].pid]
    finally:
        for each in running:
            each.kill()
            each.wait()
