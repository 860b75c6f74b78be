"""The docker plugin waits for a slow host over SSH as long as everything else does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hosts import engine_client, ssh

# It runs by itself, and imports its neighbours.
sys.path.append(str(Path(__file__).parents[2] / "airgap/plugins"))
from docker_plugin import engine


def test_its_ssh_is_everybodys() -> None:
    assert engine._SshConnection._OPTIONS == ssh._OPTIONS
    assert engine.LOGIN_SECONDS == engine_client.SLOW


def test_a_slow_login_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = r"HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nContent-Length: 2\r\n\r\nOK"
    (tmp_path / "ssh").write_text(f"#!/bin/sh\nsleep 0.5; printf '{answer}'\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 0.1)
    assert engine.Engine(engine.Settings("ssh://root@10.0.0.5"))._api_version() == "1.44"
