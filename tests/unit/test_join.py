"""The hook that makes a host join its Swarm: what it does in each state that its engine may be in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

JOIN = Path(__file__).parents[2] / "packer/blessed/opt/stele/join"
# It is in the states that it was given, one after the other; in the last one for good.
DOCKER = """\
#!/bin/bash
here=${0%/*}
echo "${*:1:2}" >>"$here/asked"
[ "$1" = info ] || exit 0
state=$(head -n 1 "$here/states")
[ "$(wc -l <"$here/states")" = 1 ] || sed -i 1d "$here/states"
[ -n "$state" ] || { echo "Cannot connect to the Docker daemon" >&2; exit 1; }
echo "$state"
"""
Join = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def join(tmp_path: Path) -> Join:
    """Runs it, told to join, with an engine that is in these states: exit status, last line, what it had done."""
    for name, text in (("docker", DOCKER), ("sleep", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "stele.join").write_text("SWMTKN-1-abc 10.0.0.4:2377\n")
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CREDENTIALS_DIRECTORY": str(tmp_path)}

    def run(*states: str) -> tuple[int, str, list[str]]:
        (tmp_path / "states").write_text("".join(f"{state}\n" for state in states))
        done = subprocess.run(["bash", JOIN], env=env, capture_output=True, text=True, timeout=60)
        asked = (tmp_path / "asked").read_text().splitlines()
        return done.returncode, done.stdout.splitlines()[-1], [each for each in asked if not each.startswith("info")]

    return run


IN_SWARM = "stele-join: this host is in the Swarm of 10.0.0.4:2377"


@pytest.mark.parametrize(
    ("states", "done"),
    [
        (["active"], []),
        (["inactive", "active"], ["swarm join"]),
        (["inactive", "pending", "pending", "active"], ["swarm join"]),
        (["error"] * 5 + ["inactive", "active"], ["swarm leave", "swarm join"]),
        (["error"] * 4 + ["pending"] + ["error"] * 4 + ["active"], []),
        (["", "", "active"], []),
    ],
    ids=["in it", "in none", "on its way", "forgotten by it", "its engine is starting", "engine without an answer"],
)
def test_a_host_gets_into_its_swarm(join: Join, states: list[str], done: list[str]) -> None:
    assert join(*states) == (0, IN_SWARM, done)


@pytest.mark.parametrize("state", ["", "pending"])
def test_who_gets_no_answer_leaves_nothing_and_tries_again(join: Join, state: str) -> None:
    assert join(state) == (1, "stele-join: 10.0.0.4:2377: not joined; it is tried again", [])


def test_a_locked_swarm_is_told_and_not_left(join: Join) -> None:
    said = "stele-join: the Swarm is locked: run 'docker swarm unlock' on this host"
    assert join("locked", "active") == (1, said, [])
