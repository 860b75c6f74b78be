"""The host is started again: what it keeps, and what it gets of a larger disk."""

from __future__ import annotations

from checks import PORTS, listening
from testinfra.host import Host

from tests.hosts.conftest import KEPT, NAME, NO_SERVER, Seen, seen
from tests.hosts.file_server import FileServer
from tests.hosts.machine import Machine


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


def test_its_engine_waits_for_the_folder_of_state(again: Host, machine: Machine, files: FileServer) -> None:
    lines = machine.console.read_text(errors="replace").splitlines()
    said = [line.partition("stele-state: ")[2].strip() for line in lines if "stele-state: " in line]
    assert (said[0], said[-1]) == (f"{files.source}: {NO_SERVER}", f"{files.source} is /srv/stele")
    ask = "systemctl show --value --property={} {}"
    mounted = int(again.check_output(ask.format("ActiveEnterTimestampMonotonic", "stele-state")))
    assert 0 < mounted < int(again.check_output(ask.format("ExecMainStartTimestampMonotonic", "docker")))


def test_the_folder_of_state_is_mounted_by_the_kernel_alone(again: Host) -> None:
    shown = again.check_output("findmnt --noheadings --output FSTYPE,OPTIONS /srv/stele").split()
    assert shown[0] == "nfs4"
    assert {"rw", "vers=4.2", "hard", "acdirmin=0", "acdirmax=0", "lookupcache=none"} <= set(shown[1].split(","))
    assert len(again.check_output("cat /sys/module/nfs/parameters/nfs4_unique_id")) == 32
    assert listening(again) <= PORTS | {"7946"}  # of a Swarm's members


def test_its_programs_keep_their_data_there_as_their_own_user(again: Host, files: FileServer) -> None:
    again.check_output("install --directory --mode=0700 --owner=10001 --group=10001 /srv/stele/orders-ledger")
    again.check_output("setpriv --reuid=10001 --regid=10001 --clear-groups touch /srv/stele/orders-ledger/kept")
    found = [files.export / "orders-ledger", files.export / "orders-ledger/kept"]
    assert [(path.stat().st_uid, path.stat().st_gid) for path in found] == [(10001, 10001)] * 2
