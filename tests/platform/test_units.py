"""Decisions that need no engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from processes import Process
from swarm import free_pool, routes

from .machine import ROOT, Machine


def test_overlay_networks_hide_nothing_the_machine_talks_to() -> None:
    assert free_pool([IPv4Network("192.168.1.0/24")]) == "10.210.0.0/16"
    assert free_pool([IPv4Network("10.210.7.0/24")]) == "10.211.0.0/16"
    # A company network that is routed as a whole.
    assert free_pool([IPv4Network("10.0.0.0/8")]) == "172.30.0.0/16"
    assert free_pool([IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12")]) == "192.168.192.0/18"


def test_routes_are_read_as_the_kernel_writes_them() -> None:
    listed = subprocess.run(["ip", "-4", "route", "show", "table", "main"], capture_output=True, text=True, check=True)
    networks = [line.split()[0] for line in listed.stdout.splitlines() if line[0].isdigit()]
    assert sorted(map(str, routes())) == sorted(str(IPv4Network(network)) for network in networks)


def test_a_later_process_of_the_same_pid_is_not_signalled() -> None:
    with subprocess.Popen(["sleep", "infinity"]) as child:
        process = Process.of(child.pid)
        assert process is not None
        for other in (replace(process, start=process.start - 1), replace(process, boot="another")):
            assert not other.alive
            other.signal(signal.SIGKILL)
            assert other.wait(0)
        assert child.poll() is None
        process.signal(signal.SIGKILL)
        assert process.wait(10)
        assert not process.alive


def test_the_folder_does_not_hide_the_standard_library(tmp_path: Path) -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    command = [sys.executable, "-c", "import platform; print(platform.python_version())"]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("verb", ["check", "up", "stop", "status", "env", "doctor"])
def test_help_names_every_command(machine: Machine, verb: str) -> None:
    shown = machine.run(sys.executable, str(ROOT / "platform" / "local"), "--help").stdout
    assert f"    {verb} " in shown
