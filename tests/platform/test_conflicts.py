"""What somebody else holds is named in one line before anything is started, and never taken."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from .machine import LOCAL, Checkout, Machine, eventually

LISTEN = """
import socket, sys, time
kind = socket.SOCK_STREAM if sys.argv[2] == "tcp" else socket.SOCK_DGRAM
s = socket.socket(socket.AF_INET, kind)
s.bind(("127.0.0.1", int(sys.argv[1])))
if sys.argv[2] == "tcp": s.listen()
print("listening", flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize(
    ("port", "kind", "variable"),
    [
        (5001, "tcp", "STELE_REGISTRY_PORT"),
        (7070, "tcp", "STELE_STORE_PORT"),
        (2377, "tcp", "STELE_SWARM_PORT"),
        (7946, "tcp", "STELE_SWARM_ADDRESS"),
        (7946, "udp", "STELE_SWARM_ADDRESS"),
        (4789, "udp", "STELE_DATA_PATH_PORT"),
    ],
)
def test_port_in_use(checkout: Checkout, port: int, kind: str, variable: str) -> None:
    holder = checkout.machine.start(sys.executable, "-c", LISTEN, str(port), kind)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "listening\n"
    result = checkout.local("up")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    for expected in (kind.upper(), str(port), f"pid {holder.pid}", "python", variable):
        assert expected in lines[0]
    assert checkout.processes() == []
    assert holder.poll() is None
    assert f"pid {holder.pid}" in checkout.local("doctor").stdout
    holder.kill()
    holder.communicate()


def test_another_checkouts_engine_is_told_before_anything_is_installed(checkout: Checkout, tmp_path: Path) -> None:
    config = tmp_path / "the other" / ".stele" / "platform" / "daemon.json"
    bare = ("env", f"STELE_HOME={checkout.folder}", "PATH=/nowhere", sys.executable, "-S", str(LOCAL), "check")
    engine = checkout.machine.start("bash", "-c", 'exec -a dockerd tail -f /dev/null "$0"', str(config))
    try:
        eventually(lambda: checkout.machine.run(*bare).returncode == 1, "the engine is seen")
        (line,) = checkout.machine.run(*bare).stderr.splitlines()
        assert f"of the checkout {tmp_path}/the other)" in line
        assert f"make -C '{tmp_path}/the other' down" in line
    finally:
        engine.kill()
        engine.communicate()
    result = checkout.machine.run(*bare)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
    assert list(checkout.folder.iterdir()) == []


def test_what_a_killed_engine_left_is_no_reason_to_refuse_early(checkout: Checkout) -> None:
    """The kernel holds VXLAN's port: `up` clears that away, or takes another."""
    checkout.machine.run("ip", "link", "add", "left", "type", "vxlan", "id", "42", "dstport", "4789", "dev", "lo")
    checkout.machine.run("ip", "link", "set", "left", "up")
    result = checkout.local("check")
    assert result.returncode == 0, result.stderr


@pytest.mark.engine
def test_second_checkout_on_the_machine(shared: Checkout, tmp_path: Path) -> None:
    before = shared.pids()
    second = Checkout(shared.machine, tmp_path / "second")
    result = second.local("up")
    assert result.returncode == 1
    assert f"of the checkout {shared.folder}" in result.stderr
    for variable in ("STELE_REGISTRY_PORT", "STELE_STORE_PORT", "STELE_SWARM_PORT", "DOCKER_HOST"):
        assert variable in result.stderr
    assert second.processes() == []
    assert f"make -C {shared.folder} down" in result.stderr
    assert (second.local("check").returncode, shared.local("check").returncode) == (1, 0)
    assert shared.pids() == before


@pytest.mark.engine
def test_chosen_ports_are_used_and_remembered(checkout: Checkout) -> None:
    swarm = {"STELE_SWARM_PORT": "2399", "STELE_DATA_PATH_PORT": "4799"}
    checkout.up(STELE_REGISTRY_PORT="5077", STELE_STORE_PORT="7177", **swarm)
    checkout.up()
    assert checkout.env()["STELE_REGISTRY"] == "127.0.0.1:5077"
    assert checkout.env()["STELE_STORE"] == "http://127.0.0.1:7177"
    listening = checkout.machine.run("ss", "-Hlntu").stdout
    for port in ("127.0.0.1:5077", "127.0.0.1:7177", "127.0.0.1:2399"):
        assert port in listening
    assert "127.0.0.1:5001" not in listening
    assert "127.0.0.1:7070" not in listening
    checkout.local("stop")
    moved = checkout.local("up", STELE_SWARM_PORT="2398")
    assert moved.returncode == 1
    assert "listens on 127.0.0.1:2399" in moved.stderr


@pytest.mark.engine
def test_overlay_networks_that_nobody_took_down_are_stepped_around(checkout: Checkout) -> None:
    """What an engine that was killed and never cleaned up leaves: the kernel holds VXLAN's port, no process does."""
    checkout.machine.run("ip", "link", "add", "left", "type", "vxlan", "id", "42", "dstport", "4789", "dev", "lo")
    checkout.machine.run("ip", "link", "set", "left", "up")
    said = checkout.up()
    assert "UDP port 4789 holds overlay networks already; ours use 4790" in said
    assert checkout.docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "active"
    assert "already" not in checkout.up()
    assert checkout.machine.run("ip", "link", "show", "left").returncode == 0


@pytest.fixture
def broken_registry(tmp_path: Path) -> str:
    """A PATH on which the registry is a program that ends at once."""
    program = tmp_path / "broken" / "docker-registry"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'boom: no such storage driver' >&2\nexit 3\n")
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


@pytest.mark.engine
def test_crash_loop_is_reported_with_its_last_words(checkout: Checkout, broken_registry: str) -> None:
    tools = ":".join(part for part in (broken_registry, str(Path(__file__).parents[2] / ".stele" / "bin")))
    result = checkout.local("up", PATH=tools)
    assert result.returncode == 1
    assert "registry ends again and again" in result.stderr
    assert "boom: no such storage driver" in result.stderr
    eventually(lambda: "crash loop" in checkout.local("status", PATH=tools).stdout, "status reports the crash loop")
    assert "boom" in checkout.local("doctor", PATH=tools).stdout
    # The cause is gone: one command mends it.
    checkout.up()


def test_settings_are_checked(machine: Machine, tmp_path: Path) -> None:
    checkout = Checkout(machine, tmp_path / "checkout")
    for variable, value, allowed in (
        ("STELE_REGISTRY_PORT", "80", "1024 to 65535"),
        ("STELE_REGISTRY_PORT", "many", "1024 to 65535"),
        ("STELE_STORE_PORT", "70700", "1024 to 65535"),
        ("STELE_SWARM_ADDRESS", "192.0.2.7", "loopback"),
        ("STELE_DATA_PATH_PORT", "60000", "1024 to 49151"),
    ):
        result = checkout.local("up", **{variable: value})
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert f"{variable}={value}" in result.stderr
        assert allowed in result.stderr


def test_folder_that_cannot_be_made(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / ".stele").symlink_to(tmp_path / "file")
    result = Checkout(machine, tmp_path / "checkout").local("up")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"cannot write {tmp_path}/checkout/.stele" in result.stderr


def test_full_disk(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    machine.run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path / "small"))
    result = Checkout(machine, tmp_path / "small").local("up")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "MiB free on the disk" in result.stderr


def test_full_disk_does_not_keep_anybody_from_stopping(machine: Machine, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    machine.run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small))
    machine.run("mkdir", "-p", f"{small}/.stele/platform", f"{small}/.stele/data")
    filled = machine.run("dd", "if=/dev/zero", f"of={small}/.stele/data/image", "bs=4k")
    assert "No space left" in filled.stderr
    checkout = Checkout(machine, small)
    result = checkout.local("stop")
    assert (result.returncode, result.stderr.count("\n")) == (0, 1), result.stderr
    result = checkout.local("stop", "--delete-data")
    assert result.returncode == 0, result.stderr
    assert machine.run("ls", f"{small}/.stele").stdout.split() == ["platform.lock"]


def test_doctor_changes_nothing(machine: Machine, tmp_path: Path) -> None:
    """Neither in a new checkout nor beside what an earlier engine left mounted."""
    checkout = Checkout(machine, tmp_path / "checkout")
    result = checkout.local("doctor")
    assert "platform: not started" in result.stdout, result.stdout + result.stderr
    assert list(checkout.folder.iterdir()) == []
    assert not Path(checkout.env()["STELE_RUN"]).exists()
    left = checkout.folder / ".stele" / "data" / "engine" / "left"
    left.mkdir(parents=True)
    machine.run("mount", "-t", "tmpfs", "tmpfs", str(left))
    assert "platform: not started" in checkout.local("doctor").stdout
    assert machine.run("mountpoint", str(left)).returncode == 0
    assert [path.name for path in (checkout.folder / ".stele").iterdir()] == ["data"]


def test_listening_on_every_address_is_a_conflict_too(checkout: Checkout) -> None:
    with socket.socket() as elsewhere:
        # A listener in another network namespace is no conflict: the tests rely on it.
        elsewhere.bind(("0.0.0.0", 0))
        elsewhere.listen()
        result = checkout.local("doctor", STELE_REGISTRY_PORT=str(elsewhere.getsockname()[1]))
    assert "programs and ports: all there and free" in result.stdout
