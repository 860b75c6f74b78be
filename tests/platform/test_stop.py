"""`stop` leaves nothing running, nothing mounted and no rule behind; the data stays unless asked otherwise."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from .machine import Checkout, Machine, eventually
from .test_recovery import kill_everything
from .test_up import greetings, start_pair

pytestmark = pytest.mark.engine


def kernel_state(machine: Machine) -> dict[str, list[str]]:
    """Links, firewall, forwarding and mounts of the machine."""
    commands = {
        "links": "ls /sys/class/net",
        "nft": "nft list ruleset",
        "forwarding": "cat /proc/sys/net/ipv4/ip_forward",
        "mounts": "findmnt --noheadings --list --output TARGET",
    }
    return {name: sorted(machine.run("bash", "-c", command).stdout.splitlines()) for name, command in commands.items()}


def test_stop_leaves_nothing_and_up_brings_the_services_back(checkout: Checkout) -> None:
    before = kernel_state(checkout.machine)
    checkout.up()
    start_pair(checkout)
    eventually(lambda: greetings(checkout) > 0, "the client hears the server")
    identity, run = checkout.env()["STELE_CHECKOUT_ID"], checkout.env()["STELE_RUN"]
    # What an edge writes into the host's network namespace.
    checkout.machine.run("nft", "add", "table", "ip", f"stele_{identity}_dev")
    checkout.machine.run("nft", "add", "table", "ip", "stele_00000000_dev")

    assert checkout.local("stop").returncode == 0
    assert checkout.processes() == []
    assert "stele_00000000_dev" in checkout.machine.run("nft", "list", "tables").stdout
    checkout.machine.run("nft", "delete", "table", "ip", "stele_00000000_dev")
    assert kernel_state(checkout.machine) == before
    assert not Path(run).exists()
    assert checkout.local("stop").returncode == 0

    checkout.up()
    heard = greetings(checkout)
    eventually(lambda: greetings(checkout) > heard, "the services talk again")


def test_stop_after_a_power_cut_cleans_the_kernel_too(checkout: Checkout) -> None:
    before = kernel_state(checkout.machine)
    checkout.up()
    start_pair(checkout)
    eventually(lambda: greetings(checkout) > 0, "the client hears the server")
    kill_everything(checkout)
    assert checkout.local("stop").returncode == 0
    assert kernel_state(checkout.machine) == before


def test_stop_ends_parts_whose_supervisor_was_killed(checkout: Checkout) -> None:
    checkout.up()
    os.kill(checkout.pids()["supervisor"], signal.SIGKILL)
    assert checkout.local("stop").returncode == 0
    assert checkout.processes() == []


def test_delete_data(checkout: Checkout) -> None:
    checkout.up()
    start_pair(checkout)
    stele = checkout.folder / ".stele"
    for name in ("state", "releases", "pulumi"):
        (stele / name).mkdir()
    result = checkout.local("stop", "--delete-data")
    assert result.returncode == 0, result.stderr
    left = {path.name for path in stele.iterdir()}
    assert {"data", "state", "releases"}.isdisjoint(left)
    assert "pulumi" in left


def test_a_recorded_pid_that_now_belongs_to_somebody_else_is_left_alone(checkout: Checkout) -> None:
    checkout.up()
    run = Path(checkout.env()["STELE_RUN"])
    os.kill(checkout.pids()["supervisor"], signal.SIGKILL)
    bystander = checkout.machine.start("sleep", "infinity")
    record = run / "supervisor.json"
    record.write_text(record.read_text().replace(str(checkout.pids()["supervisor"]), str(bystander.pid)))
    assert checkout.local("stop").returncode == 0
    assert bystander.poll() is None
    bystander.kill()
    bystander.communicate()


def test_parts_end_when_the_checkout_is_deleted(checkout: Checkout) -> None:
    checkout.up()
    shutil.rmtree(checkout.folder / ".stele" / "platform")
    eventually(lambda: checkout.processes() == [], "supervisor and parts have ended")


def test_stop_of_a_checkout_that_never_started(machine: Machine, tmp_path: Path) -> None:
    result = Checkout(machine, tmp_path / "new").local("stop")
    assert (result.returncode, result.stdout) == (0, "")
    assert "nothing to stop" in result.stderr
    shutil.rmtree(tmp_path / "new")
