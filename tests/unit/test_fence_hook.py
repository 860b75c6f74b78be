"""The hook that starts a host anew when its file server no longer hears it: for which locks it does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FENCE = Path(__file__).parents[2] / "packer/blessed/opt/stele/fence"
FILES = ("/proc/locks", "/proc/self/mountstats", "/proc/sysrq-trigger", "/dev/kmsg")
LEASE = 3  # seconds
MOUNTS = f"""\
device server:/other mounted on /srv/other with fstype nfs4 statvers=1.1
\tnfsv4:\tbm0=0xfdffbfff,acl=0x3,sessions,pnfs=not configured,lease_time=900,lease_expired=0
device 10.77.0.1:/state mounted on /srv/stele with fstype nfs4 statvers=1.1
\topts:\trw,vers=4.2
\tnfsv4:\tbm0=0xfdffbfff,acl=0x3,sessions,pnfs=not configured,lease_time={LEASE},lease_expired=0
"""
# It answers once, is then silent for longer than the lease, and ends whoever asks it a third time.
SERVER = f"""\
#!/bin/bash
here=${{0%/*}}
echo >>"$here/asked"
case $(wc -l <"$here/asked") in
1) ;;
2) sleep {LEASE + 1} ;;
*) kill $PPID ;;
esac
"""
MOUNTED = "#!/bin/sh\ncase $1 in --quiet) ;; --fs-devno) echo 0:53 ;; *) exit 1 ;; esac\n"
OURS = "FLOCK  ADVISORY  WRITE 812 00:35:1234 0 EOF"
Fence = Callable[[str], tuple[bool, str]]


@pytest.fixture
def fence(tmp_path: Path) -> Fence:
    """Runs it on a host with these locks: whether it has started the host anew, and what it says."""
    own = FENCE.read_text()
    for path in FILES:
        assert path in own
        own = own.replace(path, str(tmp_path / Path(path).name))
    own = own.replace("PAUSE=3", "PAUSE=0")
    assert "/proc/sysrq" not in own  # or the machine of these tests would start anew
    reset = f"echo b >{tmp_path}/sysrq-trigger"
    scripts = {"fence": own.replace(reset, f"{reset}; exit"), "stat": SERVER, "mountpoint": MOUNTED}
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "mountstats").write_text(MOUNTS)

    def run(locks: str) -> tuple[bool, str]:
        (tmp_path / "locks").write_text(locks + "\n")
        env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        subprocess.run([tmp_path / "fence"], env=env, timeout=60)
        said = tmp_path / "kmsg"
        return (tmp_path / "sysrq-trigger").exists(), said.read_text() if said.exists() else ""

    return run


def test_with_a_lock_it_starts_anew_before_the_lease_ends(fence: Fence) -> None:
    anew, said = fence(f"1: POSIX  ADVISORY  READ 1 00:35:9 0 EOF\n2: {OURS}")
    assert anew
    assert said.startswith("<0>stele-fence: no answer from the server of /srv/stele for ")
    assert said.endswith(" s of a lease of 3 s: this host starts anew, before another has its data\n")


@pytest.mark.parametrize(
    "locks",
    ["", f"1: -> {OURS}", f"1: {OURS.replace('WRITE', 'READ ')}", f"1: {OURS.replace('00:35', '00:36')}"],
    ids=["no lock", "it waits for one", "it reads", "elsewhere"],
)
def test_without_one_it_serves_on(fence: Fence, locks: str) -> None:
    assert fence(locks) == (False, "")
