"""The sealed image, booted for the first time: what is in it, what runs, and what the build has not left in it."""

from __future__ import annotations

import json

import checks
import pytest
from cis import Check
from testinfra.host import Host

from bench.lab.workspace import wait_until
from tests.hosts.conftest import NAME, Baked
from tests.hosts.machine import LIMIT, Machine


@pytest.mark.parametrize("check", checks.ALL, ids=lambda check: check.id)
def test_check(host: Host, check: Check) -> None:
    assert check.holds(host), check.title


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


def test_nothing_of_the_build_is_left(host: Host, machine: Machine) -> None:
    names = ("ssh_host_*", "authorized_keys", "*_history", "key.json", "script_*.sh")
    assert host.check_output("find / -xdev -name " + " -o -name ".join(f"'{name}'" for name in names)) == ""
    let_in = host.check_output("cat /root/.ssh/authorized_keys").splitlines()
    assert [line.split()[1] for line in let_in] == [machine.key.with_suffix(".pub").read_text().split()[1]]


def test_it_has_an_identity_of_its_own(host: Host) -> None:
    assert host.check_output("hostname") == NAME
    assert len(host.check_output("cat /etc/machine-id")) == 32
    assert host.file("/var/lib/ssh/ssh_host_ed25519_key").mode == 0o600


def test_no_swarm_is_joined_unasked(host: Host) -> None:
    assert host.check_output("docker info --format '{{.Swarm.LocalNodeState}}'") == "inactive"


def test_it_says_which_image_it_is(host: Host, baked: Baked) -> None:
    version = baked.entry["folder"].rpartition("/")[2]
    assert host.check_output('. /etc/os-release; echo "$ID $IMAGE_ID $IMAGE_VERSION"') == f"debian stele-host {version}"


def test_blessing_has_hardened_it(baked: Baked) -> None:
    index = json.loads((baked.folder / "host.json").read_text())["lynis"]
    assert 0 < index["before"] < index["after"] <= 100


def test_nothing_of_the_auditor_is_left(host: Host) -> None:
    assert host.check_output("find / /var -xdev -iname '*lynis*'") == ""


def test_a_check_that_fails_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ALL", [check for check in checks.ALL if check.id == "ports"])
    assert checks.failing(host, sealed=True) == []
    host.check_output("systemd-run --unit=stranger systemd-socket-activate --listen=0.0.0.0:8099 /bin/true")
    try:
        wait_until("the stranger to listen", lambda: "8099" in checks.listening(host), LIMIT)
        assert checks.failing(host, sealed=True) == ["ports (22 alone): no"]
    finally:
        host.check_output("systemctl stop stranger")
