"""Which Debian packages are asked for, and for whom."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from airgap.installer import debian
from airgap.installer.layout import Checkout, InstallError

ENGINE = {"docker.io", "nftables", "iptables", "iproute2"}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with commands: those that every user needs, and no part of an engine of our own."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in debian.COMMANDS:
        program(folder, name, "exit 1")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(debian, "_SEARCH", str(folder))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def become(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout that has its `.venv`."""
    made = Checkout(tmp_path / "checkout")
    made.python.parent.mkdir(parents=True)
    made.python.touch()
    return made


def test_an_ordinary_user_needs_nothing_of_an_engine(
    commands: Path, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, 12345)
    assert debian.missing(checkout, "run") == []
    (commands / "runc").unlink()
    assert debian.missing(checkout, "run") == ["runc"]


def test_only_the_tests_need_what_only_they_call(
    commands: Path, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, 12345)
    assert debian.missing(checkout, "dev") == [*debian.TEST_COMMANDS.values()]
    for name in debian.TEST_COMMANDS:
        program(commands, name, "exit 0")
    assert debian.missing(checkout, "dev") == []


def test_root_needs_an_engine_only_where_none_answers(
    commands: Path, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, 0)
    assert set(debian.missing(checkout, "run")) == ENGINE
    program(commands, "docker", "echo 20.10.24")
    assert debian.missing(checkout, "run") == []


def test_no_package_is_named_twice(commands: Path, checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, 0)
    (commands / "docker").unlink()
    assert sorted(debian.missing(checkout, "run")) == sorted(ENGINE)


@pytest.mark.usefixtures("commands")
def test_debians_python_without_ensurepip(checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, 12345)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name))
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    # A checkout with its .venv makes no other.
    assert debian.missing(checkout, "run") == []
    assert debian.missing(Checkout(tmp_path / "new"), "run") == ["python3-venv"]
    (tmp_path / "commands" / "apt-get").symlink_to("/bin/true")
    with pytest.raises(InstallError, match=r"ask an administrator for `apt-get install .* python3-venv`"):
        debian.install_missing(Checkout(tmp_path / "new"), "run")
    # No Debian package mends a Python from elsewhere.
    monkeypatch.setattr(sys, "executable", "/opt/python/bin/python3")
    assert debian.missing(Checkout(tmp_path / "new"), "run") == []
