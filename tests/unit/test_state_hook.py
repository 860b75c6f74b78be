"""The hook that mounts a host's folder for state: when it asks for what, and what it says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

STATE = Path(__file__).parents[2] / "packer/blessed/opt/stele/state"
MOUNT = """\
#!/bin/bash
here=${0%/*}
echo "$*" >>"$here/asked"
answer=$(head -n 1 "$here/answers")
sed -i 1d "$here/answers"
[ -z "$answer" ] && exit
[ "$answer" = silence ] && exit 124
echo "mount: /srv/stele: mount(2) system call failed: $answer." >&2
echo "       dmesg(1) may have more information after failed mount system call." >&2
exit 32
"""
NOT_MOUNTED = '#!/bin/sh\n[ "$1" != --quiet ] || [ "$2" != /srv/stele ]\n'
MODPROBE = '#!/bin/sh\necho "$*" >"${0%/*}/module"\n'
OPTIONS = "sec=sys,hard,acdirmin=0,acdirmax=0,lookupcache=none,noatime,nodev,nosuid,noexec"
Told = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """Runs it with the credential, and what its mounts come to: exit status, what it says, what it had mounted."""
    scripts = {"mount": MOUNT, "mountpoint": NOT_MOUNTED, "modprobe": MODPROBE, "sleep": "#!/bin/sh\n"}
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "identity").write_text("ssh-ed25519 AAAA\n")
    (tmp_path / "asked").touch()
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CREDENTIALS_DIRECTORY": str(tmp_path)}

    def run(credential: str, *answers: str) -> tuple[int, list[str], list[str]]:
        (tmp_path / "stele.state").write_text(credential)
        (tmp_path / "answers").write_text("".join(f"{answer}\n" for answer in answers))
        done = subprocess.run(["bash", STATE], env=env, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout.splitlines(), (tmp_path / "asked").read_text().splitlines()

    return run


def asked(source: str, address: str, version: str) -> str:
    return f"-i -w -t nfs4 -o addr={address},vers={version},{OPTIONS} {source} /srv/stele"


def test_a_host_that_is_told_nothing_mounts_nothing(told: Told) -> None:
    assert told("") == (0, [], [])


@pytest.mark.parametrize(("source", "address"), [("10.0.0.9:/state", "10.0.0.9"), ("[fd00::9]:/a/b", "fd00::9")])
def test_it_mounts_what_it_is_told(told: Told, tmp_path: Path, source: str, address: str) -> None:
    assert told(source, "") == (0, [f"stele-state: {source} is /srv/stele"], [asked(source, address, "4.2")])
    module, _, identity = (tmp_path / "module").read_text().strip().partition(" nfs4_unique_id=")
    assert (module, len(identity)) == ("nfs", 32)


def test_it_waits_for_a_server_and_says_once_why(told: Told) -> None:
    source, refused = "10.0.0.9:/state", "Connection refused"
    code, said, mounts = told(source, "silence", refused, refused, "No such file or directory", "")
    assert code == 0
    assert said == [
        f"stele-state: {source}: no answer; it is tried again",
        f"stele-state: {source}: Connection refused; it is tried again",
        f"stele-state: {source}: No such file or directory; it is tried again",
        f"stele-state: {source} is /srv/stele",
    ]
    assert mounts == [asked(source, "10.0.0.9", "4.2")] * 5


def test_a_server_of_an_older_version_is_mounted_with_that(told: Told) -> None:
    source, older = "10.0.0.9:/state", "Protocol not supported"
    code, said, mounts = told(source, older, older, older, "")
    assert code == 0
    assert said == [f"stele-state: {source}: {older}; it is tried again", f"stele-state: {source} is /srv/stele"]
    assert mounts == [asked(source, "10.0.0.9", each) for each in ["4.2", "4.1"] * 2]


def test_one_that_was_mounted_when_it_was_given_up_is_not_mounted_again(told: Told, tmp_path: Path) -> None:
    (tmp_path / "mountpoint").write_text("#!/bin/sh\n")
    assert told("10.0.0.9:/state", "silence")[:2] == (0, ["stele-state: 10.0.0.9:/state is /srv/stele"])


NO_SERVERS = [
    "nas.example.com:/state",
    "cafe:/state",
    "fd00::9:/state",
    "10.0.0.9]:/a",
    "10.0.0.9",
    "10.0.0.9:a",
    "/srv",
]


@pytest.mark.parametrize("credential", NO_SERVERS)
def test_what_is_no_server_ends_it(told: Told, credential: str) -> None:
    reason = "the credential stele.state is not 'ADDRESS:/EXPORT', with an address, not a name"
    assert told(credential) == (1, [f"stele-state: {reason}: {credential}"], [])
