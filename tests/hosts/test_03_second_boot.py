"""The host is started again: what it keeps, and what it gets of a larger disk."""

from __future__ import annotations

from testinfra.host import Host

from tests.hosts.conftest import KEPT, NAME, Seen, seen


def test_it_was_started_again(again: Host, before: Seen) -> None:
    assert seen(again).boot != before.boot


def test_it_keeps_its_ssh_key(again: Host, before: Seen) -> None:
    assert seen(again).key == before.key


def test_it_keeps_its_state(again: Host) -> None:
    assert again.file(KEPT).content_string == "kept\n"


def test_it_keeps_its_name(again: Host) -> None:
    assert again.check_output("hostname") == NAME


def test_its_state_takes_what_the_disk_has_grown(again: Host, before: Seen) -> None:
    assert 2000 < seen(again).size - before.size <= 2048  # MiB, of the 2 GiB
