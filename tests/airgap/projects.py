"""A throw-away Pulumi project that is run with the checkout's own CLI."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from airgap.installer.environment import variables
from airgap.installer.layout import Checkout

LIMIT_SECONDS = 60.0


@dataclass
class Project:
    """`folder` holds the program; home and state are its own. `options` go into Pulumi.yaml."""

    checkout: Checkout
    folder: Path
    options: dict[str, str] = field(default_factory=dict)

    def write(self, program: str) -> None:
        """Makes `program` the project's program."""
        lines = "".join(f"\n    {key}: {value}" for key, value in self.options.items())
        runtime = f"\n  name: python\n  options:{lines}" if lines else " python"
        (self.folder / "Pulumi.yaml").write_text(f"name: trial\nruntime:{runtime}\n")
        (self.folder / "__main__.py").write_text(program)

    @property
    def environment(self) -> dict[str, str]:
        ours = variables(self.checkout, offline=True)
        del ours["PULUMI_CONFIG_PASSPHRASE_FILE"]
        return (
            os.environ
            | ours
            | {
                "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
                "PULUMI_CONFIG_PASSPHRASE": "trial",
            }
        )

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [self.checkout.bin / "pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )

    def up(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the program with `pulumi up`."""
        self.write(program)
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", "dev", *arguments)

    @contextmanager
    def running(self, program: str) -> Iterator[subprocess.Popen[str]]:
        """A `pulumi up` that goes on in the background; its output is in stdout. Killed after LIMIT_SECONDS."""
        self.write(program)
        update = subprocess.Popen(
            [self.checkout.bin / "pulumi", "up", "--yes", "--skip-preview", "--stack", "dev", "--color", "never"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        limit = threading.Timer(LIMIT_SECONDS, update.kill)
        limit.start()
        try:
            with update:
                yield update
        finally:
            limit.cancel()
            update.kill()
