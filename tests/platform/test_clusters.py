"""Hosts of this machine go on without the platform, and need this checkout's state to be removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from .machine import Checkout, Machine


@pytest.fixture
def checkout(machine: Machine, tmp_path: Path) -> Checkout:
    """One with two stacks, of which one has two hosts here; a third stack with a host is of another checkout."""
    made = Checkout(machine, tmp_path / "checkout", STELE_HOSTS=str(tmp_path / "hosts"))
    stacks = made.folder / ".stele" / "state" / ".pulumi" / "stacks" / "stele"
    for stack in ("cluster", "dev"):
        stacks.mkdir(parents=True, exist_ok=True)
        (stacks / f"{stack}.json").touch()
    for host in ("cluster/a-1", "cluster/b-1", "others/a-1"):
        (tmp_path / "hosts" / host).mkdir(parents=True)
        (tmp_path / "hosts" / host / "host.json").touch()
    (made.folder / ".stele" / "platform").mkdir()
    return made


def test_their_state_is_deleted_after_them_only(checkout: Checkout, tmp_path: Path) -> None:
    there = sorted(checkout.folder.rglob("*"))
    refused = checkout.local("stop", "--delete-data")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
    assert "hosts of cluster cluster run" in refused.stderr
    assert refused.stderr.endswith("pulumi destroy -s cluster first\n")
    assert sorted(checkout.folder.rglob("*")) == there

    (tmp_path / "hosts" / "cluster").rename(tmp_path / "destroyed")
    assert checkout.local("stop", "--delete-data").returncode == 0
    assert not (checkout.folder / ".stele" / "state").exists()


def test_stop_and_doctor_tell_of_them(checkout: Checkout) -> None:
    assert "cluster: cluster has 2 hosts on this machine" in checkout.local("doctor").stdout
    _, last = checkout.local("stop").stderr.splitlines()
    assert "hosts of cluster cluster go on running" in last
    assert "pulumi destroy -s cluster" in last
