"""What a change of one flow costs against a cold build: bytes pushed and time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.lab import edits, ground
from bench.lab.ground import CHECKOUT
from bench.lab.images import size
from bench.lab.workspace import wait_until
from bench.laboratory import BASE, Laboratory, timed
from bench.registry import Pushes
from bench.results import Measurement, say, spread

RUNTIME = "ledger"


def measure(lab: Laboratory) -> Measurement:
    """Change one flow of one runtime some times; then build the same release with no cache and no base images."""
    taken = Measurement(
        "delta",
        "Changing one flow",
        f"One flow of `{RUNTIME}` is changed and a release published: seconds of `pulumi up` of the factory, and bytes "
        "that are new in the registry's storage. The cold build publishes the same release with an empty BuildKit of "
        "its own, no base images, and repositories of its own.",
    )
    factory = lab.factory
    took, pushed = [], []
    for number in range(2 if lab.short else 5):
        edits.change_flow(lab.workspace, RUNTIME, revision=1000 + number)
        before = Pushes()
        took.append(timed(lambda number=number: factory.up(version=f"910.5.{number}")))  # type: ignore[misc]
        pushed.append(before.size())
        say("delta", f"{took[-1]:.1f} s, {pushed[-1]} bytes")
    whole = size(factory.outputs()["images"][RUNTIME])
    lab.workspace.reset()
    factory.up(version=BASE)
    taken.add("time of `pulumi up` of the factory after the change", spread(took))
    taken.add("bytes pushed", f"{min(pushed)} to {max(pushed)}")
    taken.add(f"the whole image of `{RUNTIME}`, compressed", f"{whole / 2**20:.1f} MiB")
    taken.ratio("bytes pushed / image", max(pushed), whole, 0.01)
    cold = _cold(lab)
    taken.add("cold build of the release", f"{cold:.0f} s")
    taken.ratio("change / cold build", sorted(took)[len(took) // 2], cold, 1 / 20)
    return taken


def _cold(lab: Laboratory) -> float:
    root = lab.root / "cold"
    with _builder(root, lab.workspace.env) as config:
        registry = f"{lab.workspace.env['STELE_REGISTRY']}/cold-{os.getpid()}"
        stack = lab.workspace.factory("b-cold", version=BASE, registry=registry)
        say("delta", "cold build begins")
        lab.workspace.env["DOCKER_CONFIG"], usual = str(config), lab.workspace.env["DOCKER_CONFIG"]
        releases = lab.workspace.env["STELE_RELEASES"]
        lab.workspace.env["STELE_RELEASES"] = str(root / "releases")
        try:
            return timed(stack.up)
        finally:
            lab.workspace.env |= {"DOCKER_CONFIG": usual, "STELE_RELEASES": releases}


@contextmanager
def _builder(root: Path, env: dict[str, str]) -> Iterator[Path]:
    """A BuildKit daemon like the platform's, but empty; the folder of a client's settings in which it is `stele`."""
    parts = json.loads((CHECKOUT / ".stele" / "platform" / "parts.json").read_text())["parts"]
    program = next(part["argv"][0] for part in parts if part["name"] == "buildkit")
    settings = (CHECKOUT / ".stele" / "platform" / "buildkitd.toml").read_text()
    root.mkdir()
    socket, config = root / "b.sock", root / "docker"
    shutil.copytree(Path(env["DOCKER_CONFIG"]), config, symlinks=True)
    shutil.rmtree(config / "buildx", ignore_errors=True)
    (root / "buildkitd.toml").write_text(_moved(settings, root, socket))
    command = [program, "--config", str(root / "buildkitd.toml")]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until("the empty builder", socket.exists, 30)
        create = ["docker", "buildx", "create", "--name", "stele", "--driver", "remote", f"unix://{socket}"]
        ground.run(*create, env=env | {"DOCKER_CONFIG": str(config)})
        yield config
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(root, ignore_errors=True)


def _moved(settings: str, root: Path, socket: Path) -> str:
    """The platform's settings with another root and socket."""
    lines = []
    for line in settings.splitlines():
        key = line.partition("=")[0].strip()
        if key == "root":
            lines.append(f'root = "{root / "data"}"')
        elif key == "address":
            lines.append(f'  address = ["unix://{socket}"]')
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"
