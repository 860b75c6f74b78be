"""The sealed image, booted for the first time: what is in it, what runs, and what the build has not left in it."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from tests.hosts.cis import CHECKS, Check
from tests.hosts.conftest import Baked
from tests.hosts.machine import Machine

LISTENING = {"22"}  # by TCP, from elsewhere


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_cis(host: Host, check: Check) -> None:
    assert check.holds(host), check.title


@pytest.mark.parametrize("name", ["docker", "ssh", "auditd", "nftables", "systemd-timesyncd", "systemd-networkd"])
def test_services_run(host: Host, name: str) -> None:
    assert host.service(name).is_running
    assert host.service(name).is_enabled


def test_nothing_has_failed(host: Host) -> None:
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def test_what_listens(host: Host) -> None:
    lines = host.check_output("ss -Hltn").splitlines()
    addresses = [line.split()[3] for line in lines]
    assert {each.rpartition(":")[2] for each in addresses if not each.startswith(("127.", "[::1]"))} == LISTENING


def test_packages_are_the_locked_ones(host: Host, baked: Baked) -> None:
    installed = host.check_output("dpkg-query --show --showformat='${Package}=${Version}\\n'").splitlines()
    assert sorted(installed) == baked.locked()


def test_the_bill_of_materials_names_them(baked: Baked) -> None:
    bill = json.loads((baked.folder / "host.spdx.json").read_text())
    assert sorted(f"{each['name']}={each['versionInfo']}" for each in bill["packages"]) == baked.locked()
    assert bill["documentNamespace"].endswith(baked.entry["tree"].removeprefix("sha256:"))


def test_the_root_is_read_only(host: Host) -> None:
    assert "ro" in host.mount_point("/").options
    assert host.run("touch /usr/drift").rc != 0


def test_the_state_takes_the_rest_of_the_disk(host: Host) -> None:
    size = int(host.check_output("df --block-size=1M --output=size /var | tail -1"))
    assert 3900 < size < 4500  # MiB, of 6144 without the root


def test_docker_runs_a_container(host: Host) -> None:
    host.check_output("mkdir -p /var/tmp/c && cp --parents /bin/true $(ldd /bin/true | grep -o '/[^ ]*') /var/tmp/c")
    host.check_output("tar -C /var/tmp/c -c . | docker import - stele-test")
    assert host.run("docker run --rm stele-test /bin/true").rc == 0


def test_nobody_has_a_password(host: Host) -> None:
    shadow = host.check_output("cat /etc/shadow").splitlines()
    assert [line.split(":")[0] for line in shadow if line.split(":")[1][:1] not in ("!", "*")] == []


def test_nobody_else_logs_in(host: Host) -> None:
    passwd = host.check_output("cat /etc/passwd").splitlines()
    shells = {line.split(":")[0] for line in passwd if not line.endswith(("nologin", "false", "/bin/sync"))}
    assert shells == {"root"}


def test_nothing_of_the_build_is_left(host: Host, machine: Machine) -> None:
    for name in ("ssh_host_*", "authorized_keys", "*_history", "key.json", "script_*.sh"):
        assert host.check_output(f"find / -xdev -name '{name}'") == ""
    let_in = host.check_output("cat /root/.ssh/authorized_keys").splitlines()
    assert [line.split()[1] for line in let_in] == [machine.key.with_suffix(".pub").read_text().split()[1]]


def test_it_has_an_identity_of_its_own(host: Host) -> None:
    assert host.check_output("hostname") == "host-under-test"
    assert len(host.check_output("cat /etc/machine-id")) == 32
    assert host.file("/var/lib/ssh/ssh_host_ed25519_key").mode == 0o600


def test_no_swarm_is_joined_unasked(host: Host) -> None:
    assert host.check_output("docker info --format '{{.Swarm.LocalNodeState}}'") == "inactive"
