"""What the measurements share: one workspace, three releases, one environment, each made when first asked for."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from bench.lab import edits
from bench.lab.loading import Load
from bench.lab.swarm import Swarm
from bench.lab.workspace import Stack, Workspace
from bench.results import say

PORT = 18180
BASE, FLOW, TEMPLATE = "910.0.0", "910.1.0", "910.2.0"


class Laboratory:
    """Close it in the end: it removes every stack it made."""

    def __init__(self, *, short: bool, rate: float) -> None:
        self.short, self.rate = short, rate
        self._folder = tempfile.TemporaryDirectory(prefix="stele-bench-")
        self.root = Path(self._folder.name)
        self._environment: Stack | None = None

    @cached_property
    def workspace(self) -> Workspace:
        """The copy of the project."""
        return Workspace(self.root / "lab")

    @cached_property
    def factory(self) -> Stack:
        """The factory stack with release BASE published."""
        say("lab", f"building release {BASE}")
        stack = self.workspace.factory("b-release", version=BASE)
        stack.up()
        return stack

    @cached_property
    def images(self) -> dict[str, dict[str, str]]:
        """Images of releases BASE, FLOW (one flow changed) and TEMPLATE (the template bumped: every image)."""
        self.factory  # noqa: B018 - it publishes BASE
        found = {BASE: self._built()}
        found[FLOW] = self.release(FLOW, lambda: edits.change_flow(self.workspace, "ledger"))
        found[TEMPLATE] = self.release(TEMPLATE, lambda: edits.bump_template(self.workspace))
        return found

    def release(self, version: str, edit: Callable[[], None]) -> dict[str, str]:
        """Publish one more release with an edit, and take the edit back."""
        factory = self.factory
        say("lab", f"building release {version}")
        edit()
        factory.up(version=version)
        self.workspace.reset()
        return self._built()

    def _built(self) -> dict[str, str]:
        """Images of the release just published, but the task runner's: what is compared has no storage."""
        return {name: image for name, image in self.factory.outputs()["images"].items() if name != "backup"}

    def released(self, version: str) -> dict[str, str]:
        """Images by runtime of a published release, from its manifest."""
        manifest = json.loads((self.workspace.releases / "orders" / f"{version}.json").read_text())["content"]
        registry = self.workspace.env["STELE_REGISTRY"]
        return {
            name: f"{registry}/{each['repository']}@{each['digest']}"
            for name, each in manifest["runtimes"].items()
            if name != "backup"
        }

    def environment(self) -> Stack:
        """The sample product's environment at release BASE."""
        self.images  # noqa: B018 - they are what it deploys
        if self._environment is None:
            say("lab", "bringing the environment up")
            self._environment = self.workspace.environment("b-env", version=BASE, port=PORT)
        self._environment.up(version=BASE, window=None)
        return self._environment

    def environment_stack(self) -> Stack:
        """The environment, as it is."""
        assert self._environment is not None
        return self._environment

    def take_down(self) -> None:
        """Take the environment down, so that it does not stand beside what is compared with it."""
        if self._environment is not None:
            self._environment.remove()

    def load(self, name: str, port: int = PORT, *, part: float = 1) -> Load:
        """Load on a front door: a part of the run's rate."""
        return Load(f"http://127.0.0.1:{port}", self.root, rate=self.rate * part, name=name)

    def close(self) -> None:
        """Remove every stack and the folder."""
        if "workspace" in self.__dict__:
            self.workspace.close()
        self._folder.cleanup()


def timed(act: Callable[[], object]) -> float:
    """How many seconds something takes."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def swarm_of(stack: Stack) -> Swarm:
    """The engine's view of a stack."""
    return Swarm(stack.name)
