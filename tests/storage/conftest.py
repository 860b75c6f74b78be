"""A real object-lock store (versitygw behind its door) for the tests: no platform and no engine is needed."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.lab import ground
from bench.lab.workspace import copy_project
from components.bucket import Bucket
from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import REGION, Keys, client
from components.release_store import ReleaseStore, store_of

ROOT = Path(__file__).parents[2]
PATH = f"{os.environ['PATH']}:/usr/sbin"
# The platform is a folder of scripts, not a package.
sys.path.append(str(ROOT / "platform"))
from store import command, door_config  # noqa: E402

ADMINISTRATOR = Keys("administrator", "administrators-secret-key")
# What the client makes of a refusal that has no S3 error code: the door's.
AT_THE_DOOR = r"An error occurred \((400|413)?\) "


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Gateway:
    """A running store and its folder. Its door lacks lines with ``without``; ``passage``: its socket for containers."""

    folder: Path
    port: int
    without: str = ""
    passage: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        for name in ("objects", "versions", "accounts"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        socket = str(self.folder / "store.sock")
        program = str(ROOT / ".stele/bin/versitygw")
        environment = {
            "PATH": os.environ["PATH"],
            "ROOT_ACCESS_KEY_ID": ADMINISTRATOR.access,
            "ROOT_SECRET_ACCESS_KEY": ADMINISTRATOR.secret,
        }
        with (self.folder / "store.log").open("ab") as log:
            argv = command(program, self.folder, socket, self.folder / "access.log")
            self.processes.append(subprocess.Popen(argv, env=environment, stdout=log, stderr=log))
        self.start_door()

    def start_door(self) -> None:
        """The door alone; the store behind its socket may be anybody's."""
        lines = door_config(self.port, str(self.folder / "store.sock"), self.passage).splitlines(keepends=True)
        kept = (line for line in lines if not self.without or self.without not in line)
        (self.folder / "door.cfg").write_text("".join(kept))
        with (self.folder / "door.log").open("ab") as log:
            argv = ("haproxy", "-db", "-f", str(self.folder / "door.cfg"))
            self.processes.append(subprocess.Popen(argv, env={"PATH": PATH}, stdout=log, stderr=log))
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.endpoint}/health", timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        pytest.fail(f"the store did not start: {(self.folder / 'store.log').read_text()}")

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()

    def log(self) -> str:
        """Every request that reached the store, then what the door refused."""
        return "".join((self.folder / name).read_text() for name in ("access.log", "door.log"))


def delete_behind_the_door(gateway: Gateway, keys: Keys, target: str) -> int:
    """A deletion that reaches the store's own socket; its status."""
    request = AWSRequest("DELETE", gateway.endpoint + target)
    S3SigV4Auth(Credentials(keys.access, keys.secret), "s3", REGION).add_auth(request)
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(gateway.folder / "store.sock"))
        connection.request("DELETE", target, headers=dict(request.headers.items()))
        return connection.getresponse().status


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    made = Gateway(tmp_path_factory.mktemp("store"), free_port())
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def store(gateway: Gateway) -> ObjectLockStore:
    return ObjectLockStore(gateway.endpoint, ADMINISTRATOR)


@pytest.fixture(scope="module")
def administrator(gateway: Gateway) -> Any:
    return client(gateway.endpoint, ADMINISTRATOR)


@dataclass
class Project:
    """A copy of the project with a state of its own, and one storage stack. The real CLI runs in it."""

    folder: Path
    gateway: Gateway
    env: dict[str, str]

    def pulumi(self, *arguments: str, stack: str = "acme") -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--stack", stack, "--non-interactive", "--color", "never"]
        return ground.run(*command, env=self.env, cwd=self.folder / "project", check=False)

    def up(self, **settings: str) -> subprocess.CompletedProcess[str]:
        """`pulumi up` with these settings set before."""
        for key, value in settings.items():
            self.pulumi("config", "set", f"stele:{key}", value)
        return self.pulumi("up", "--yes", "--skip-preview")

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets").stdout)
        return found


@pytest.fixture
def project(gateway: Gateway, tmp_path: Path) -> Project:
    keys = tmp_path / "administrator"
    keys.write_text(f"ROOT_ACCESS_KEY_ID={ADMINISTRATOR.access}\nROOT_SECRET_ACCESS_KEY={ADMINISTRATOR.secret}\n")
    copy_project(tmp_path / "project")
    (tmp_path / "state").mkdir()
    env = ground.toolchain() | {
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "for tests only",
        "STELE_STORE": gateway.endpoint,
        "STELE_STORE_ADMIN": str(keys),
    }
    made = Project(tmp_path, gateway, env)
    made.pulumi("stack", "init", "--no-select")
    made.pulumi("config", "set", "stele:kind", "storage")
    return made


@pytest.fixture
def account(store: ObjectLockStore, gateway: Gateway) -> Callable[[str], Bucket]:
    """Open an account of this test's own."""
    number = secrets.token_hex(4)

    def opened(whose: str) -> Bucket:
        terms = Terms(f"{whose}-{number}", 180, locked=True)
        keys = store.open(terms)
        return Bucket(gateway.endpoint, terms.bucket, keys.access, keys.secret)

    return opened


@pytest.fixture
def vendor(account: Callable[[str], Bucket]) -> Bucket:
    return account("vendor")


@pytest.fixture
def customer(account: Callable[[str], Bucket]) -> Bucket:
    return account("customer")


@pytest.fixture
def releases(vendor: Bucket, tmp_path: Path) -> ReleaseStore:
    return store_of(str(tmp_path / "cache"), vendor)
