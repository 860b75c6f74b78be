"""Azurite, Microsoft's own emulator of Azure storage: the account's protocol without any of its protection."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.azure_container import AzureContainer
from components.storage_reference import Account
from components.storage_settings import Backend

HERE = Path(__file__).parent
# The one account that it knows, with a key that everybody knows:
# https://learn.microsoft.com/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_PASSAGE = """\
global
  log stdout format raw local0 err
defaults
  mode tcp
  timeout connect 5s
  timeout client 5m
  timeout server 5m
listen passage
  bind unix@{socket} mode 666
  server azurite 127.0.0.1:{port}
"""


def install(folder: Path) -> Path:
    """Put it into ``folder`` as the lock file has it; the program."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "node_modules/.bin/azurite-blob"


@dataclass
class Azurite:
    """A running one and its folder, with a passage for containers; ``close`` ends it."""

    program: Path
    folder: Path
    port: int
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def passage(self) -> Path:
        """The folder that a container gets to reach it."""
        return self.folder / "passage"

    def start(self) -> None:
        self.passage.mkdir(parents=True)
        self.passage.chmod(0o755)
        # The SDK speaks a newer version of the protocol than the emulator knows.
        self._spawn(
            *(self.program, "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--silent"),
            *("--location", self.folder / "blobs", "--skipApiVersionCheck", "--disableTelemetry"),
        )
        config = self.folder / "passage.cfg"
        config.write_text(_PASSAGE.format(socket=self.passage / "door.sock", port=self.port))
        self._spawn("haproxy", "-db", "-f", config)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=1).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def _spawn(self, *command: str | Path) -> None:
        env = {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
        with (self.folder / "log").open("ab") as log:
            self._processes.append(subprocess.Popen([str(word) for word in command], env=env, stdout=log, stderr=log))

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    def account(self, customer: str) -> EmulatedAccount:
        """A new container, as a storage stack makes one."""
        made = EmulatedAccount(self, f"stele-{customer}")
        made.blobs.create_container()
        return made


@dataclass(frozen=True)
class EmulatedAccount:
    """One container of it."""

    azurite: Azurite
    bucket: str
    credential: str = field(default=KEY, repr=False)

    @property
    def passage(self) -> Path:
        return self.azurite.passage

    @property
    def storage(self) -> dict[str, str]:
        """What a task runner is told."""
        return {"backend": "azure", "endpoint": self.azurite.endpoint, "bucket": self.bucket}

    @property
    def account(self) -> Account:
        """What an environment knows of it."""
        return Account(
            backend=Backend.AZURE,
            endpoint=self.azurite.endpoint,
            bucket=self.bucket,
            access_key=ACCOUNT,
            secret_key=KEY,
            retention=180,
            locked=True,
        )

    @property
    def place(self) -> AzureContainer:
        return AzureContainer.of(vars(self.account))

    @property
    def blobs(self) -> Any:
        """Its own client of Azure."""
        return self.place._client
