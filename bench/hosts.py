"""A host image: its root beside mmdebstrap's of the same packages, and two whole bakes, which give the same files."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.lab.ground import CHECKOUT
from bench.laboratory import Laboratory, timed
from bench.results import Measurement, say, spread

LOCK = CHECKOUT / "packer" / "packages.lock"
SOURCES = "import sys; sys.path.append('runtimes/base'); import apt; print('\\n'.join(apt.machine_sources()))"


def measure(lab: Laboratory) -> Measurement:
    """Roots in turn, then two bakes."""
    taken = Measurement(
        "hosts",
        "A host image",
        "The root with the locked packages, by the script that makes every base, and by mmdebstrap alone with the same "
        "packages, in turn. Then the whole image twice, from nothing: root, disk, Packer's build under whatever "
        "accelerator there is, cut and compressed.",
    )
    mine, other = [], []
    for count in range(2 if lab.short else 5):
        say("hosts", f"root {count + 1}")
        mine.append(timed(lambda: _root(lab.root / "mine.tar")))
        other.append(timed(lambda: _mmdebstrap(lab.root / "other.tar")))
    taken.add("the root", spread(mine))
    taken.add("mmdebstrap of the same packages", spread(other))
    taken.ratio("ratio of the medians", statistics.median(mine), statistics.median(other), 1.5)
    seconds, trees = [], set()
    for name in ("one", "two"):
        say("hosts", f"image {name}")
        began = time.monotonic()
        trees.add(_bake(lab.root / name)["tree"])
        seconds.append(time.monotonic() - began)
    taken.add("the whole image", spread(seconds))
    taken.add("different file trees of two bakes", len(trees), "1", kept=len(trees) == 1)
    return taken


def _root(out: Path) -> None:
    subprocess.run([CHECKOUT / "runtimes/base/bootstrap", "host", out, LOCK], check=True)


def _mmdebstrap(out: Path) -> None:
    lines = [line.split("=")[0] for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    command = ["mmdebstrap", "--variant=essential", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--format=tar"]
    command += [f"--include={','.join(lines)}", '--aptopt=APT::Install-Recommends "false"', "bookworm", str(out), "-"]
    sources = subprocess.run(["python3", "-c", SOURCES], cwd=CHECKOUT, check=True, capture_output=True, text=True)
    subprocess.run(command, input=sources.stdout, text=True, check=True, capture_output=True)


def _bake(out: Path) -> dict[str, Any]:
    env = os.environ | {"STELE_REBUILD": "1"}
    done = subprocess.run([CHECKOUT / "packer/bake", out], stdout=subprocess.PIPE, text=True, check=True, env=env)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
