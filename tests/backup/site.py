"""One stack as plain containers: its task runner, database, broker and a volume of files, each with its volume."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.types import Mount

from tests.backup.account import BACKUP_KEY
from tests.backup.engine import Box, Engine, Refused, bound, wait_until

HERE = Path(__file__).parent
# To try a changed runner without building its image: the folder with its package.
RUNNER = os.environ.get("STELE_TEST_RUNNER", "")
CAPTURES = {"broker": "messages", "database": "database", "notify": "files"}
SECRETS = {"database-password": "correct-horse-battery", "broker-password": "staple", "backup-key": BACKUP_KEY}


@dataclass
class Site:
    """``settings`` are laid over what the runner is told; ``small`` gives volumes a size in megabytes, by name."""

    engine: Engine
    images: dict[str, str]
    account: Any  # an Account, or an EmulatedAccount
    folder: Path
    name: str
    stack: str
    settings: dict[str, Any] = field(default_factory=dict)
    captures: dict[str, str] = field(default_factory=lambda: dict(CAPTURES))
    small: dict[str, int] = field(default_factory=dict)
    flows: Path | None = None

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # of a test before
        (self.folder / "secrets").mkdir(parents=True)
        for name, value in (SECRETS | {"storage-secret": self.account.credential}).items():
            self.secret(name, value)
        self._write("environment.properties", "LOAD=required\n")
        self.configure()
        self.network = self.engine.network(self.name)
        for name in ("data", *self.captures):
            self.engine.volume(f"{self.name}-{name}", self.small.get(name, 0))

    # What an environment gives its containers

    def _write(self, name: str, text: str) -> None:
        """In place: a file that is mounted stays the same one."""
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o644)

    def secret(self, name: str, value: str) -> None:
        self._write(f"secrets/{name}", value)

    def configure(self, **changes: Any) -> None:
        """Write backup.json; the runner reads it when it starts, or when a backup is asked for."""
        self.settings |= changes
        volumes = {name: {"capture": kind, "path": f"/data/volumes/{name}"} for name, kind in self.captures.items()}
        plain = {"stack": self.stack, "source": self.stack, "restore": "newest", "fenced": False, "timezone": "UTC"}
        plain |= {
            "storage": self.account.storage,
            "schema": {"needs": 1, "oldest": 1},
            "vanilla": None,
            "volumes": volumes,
        }
        self._write("backup.json", json.dumps(plain | self.settings))

    def _volume(self, name: str, target: str) -> Mount:
        return Mount(target=target, source=f"{self.engine.prefix}-{self.name}-{name}", type="volume")

    def _given(self, *files: str) -> list[Mount]:
        return [
            bound(self.folder / "secrets", "/run/secrets"),
            *(bound(self.folder / f, f"/etc/stele/{f}") for f in files),
        ]

    # Containers

    def _container(self, name: str, runtime: str, mounts: list[Mount], **more: Any) -> Box:
        more |= {"network": self.network, "aliases": [runtime]}
        return self.engine.start(f"{self.name}-{name}", self.images[runtime], mounts=mounts, **more)

    def run_once(self, name: str, runtime: str, mounts: list[Mount], *command: str, **more: Any) -> str:
        """What a container that runs nothing but this prints. Raises Refused when it fails."""
        box = self._container(name, runtime, mounts, entrypoint=list(command), **more)
        code, said = box.container.wait(timeout=1800)["StatusCode"], box.log()
        box.container.remove()
        if code:
            raise Refused(f"{command}: {said}")
        return said

    @property
    def runner(self) -> Box:
        return Box(self.engine.client.containers.get(f"{self.engine.prefix}-{self.name}-runner"))

    @property
    def database(self) -> Box:
        return Box(self.engine.client.containers.get(f"{self.engine.prefix}-{self.name}-database"))

    @property
    def broker(self) -> Box:
        return Box(self.engine.client.containers.get(f"{self.engine.prefix}-{self.name}-broker"))

    def start_runner(self, number: str = "", **more: Any) -> Box:
        """A new runner; it loads what is empty."""
        return self._container(f"runner{number}", "backup", self.runner_mounts(), **more)

    def runner_mounts(self) -> list[Mount]:
        mounts = [self._volume("data", "/data"), *(self._volume(v, f"/data/volumes/{v}") for v in self.captures)]
        mounts += [*self._given("backup.json"), bound(self.account.passage, "/run/store", writable=True)]
        mounts += [bound(HERE / "inside", "/tests"), *([bound(self.flows, "/opt/stele/flows")] if self.flows else [])]
        if RUNNER:
            mounts.append(bound(Path(RUNNER), "/opt/stele/lib/runner"))
        return mounts

    def load(self) -> dict[str, Any]:
        """Start the runner; the report of its load. Raises Refused with its one line when it gives up."""
        return loaded(self.start_runner())

    def start_database(self) -> Box:
        mounts = [self._volume("database", "/data"), *self._given("environment.properties")]
        return self._container("database", "database", mounts)

    def start_broker(self) -> Box:
        mounts = [self._volume("broker", "/data"), *self._given("environment.properties")]
        return self._container("broker", "broker", mounts)

    def start(self) -> dict[str, Any]:
        """Everything, as `pulumi up` orders it."""
        report = self.load()
        self.serve()
        return report

    def serve(self) -> None:
        """Database and broker, until they serve."""
        boxes = [getattr(self, f"start_{name}")() for name in ("database", "broker") if name in self.captures]
        for box in boxes:
            serving(box)

    def restarted(self) -> dict[str, Any]:
        """The same runner again, after it ended; its report."""
        runner = self.runner
        before = len(outcomes(runner))
        runner.start()
        return loaded(runner, before)

    def runner_again(self) -> dict[str, Any]:
        """A new generation of the runner on the same volumes; its report."""
        self.engine.remove(f"{self.name}-runner")
        return self.load()

    def restore(self, name: str, **settings: Any) -> Site:
        """A stack of the same name and account on another machine: fresh volumes."""
        shared: dict[str, Any] = {
            "captures": dict(self.captures),
            "flows": self.flows,
            "settings": self.settings | settings,
        }
        return Site(self.engine, self.images, self.account, self.folder.parent / name, name, self.stack, **shared)

    def remove(self) -> None:
        self.engine.remove(self.name)
        shutil.rmtree(self.folder, ignore_errors=True)

    # What is in it

    def backup(self) -> dict[str, Any]:
        """A backup now; its line of answer. Raises Refused with the one line of its failure."""
        said: dict[str, Any] = json.loads(self.runner.run("/opt/stele/backup", "backup").splitlines()[-1])
        return said

    def sql(self, *statements: str) -> str:
        commands = [word for statement in statements for word in ("-c", statement)]
        env = {"PGHOST": "/run/stele", "PGUSER": "stele", "PGDATABASE": "orders"}
        return self.database.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *commands, env=env).strip()

    def add_orders(self, tag: str, count: int, length: int = 32) -> None:
        """Rows that do not compress well."""
        some = "encode(decode(md5(random()::text), 'hex'), 'base64')"  # 24 characters
        text = " || ".join([some] * max(1, length // 24))
        self.sql(
            f"insert into orders (id, item, quantity) select '{tag}-' || n, {text}, 1 + n % 9 "
            f"from generate_series(1, {count}) n"
        )

    def add_files(self, tag: str, count: int, size: int = 200) -> None:
        self.runner.shell(
            f"cd /data/volumes/notify && for n in $(seq {count}); do "
            f"head -c {size} /dev/urandom | base64 >{tag}-$n.json; done; "
            f"mkdir -p {tag}-folder && date >{tag}-folder/'a b'"
        )

    def _messages(self, *words: str) -> str:
        mounts = [bound(HERE / "messages.js", "/messages.js"), *self._given()]
        return self.run_once("messages", "notify", mounts, "node", "/messages.js", *words)

    def send(self, tag: str, count: int, size: int = 300, queue: str = "orders") -> None:
        self._messages("send", queue, str(count), str(size), tag)

    def rows(self) -> str:
        return self.sql("select count(*), md5(string_agg(o::text, chr(10) order by id)) from orders o")

    def files(self) -> str:
        """Every file with its content's digest, what the runner keeps there for itself apart."""
        found = "find . -type f ! -path './.stele*' -print0 | sort -z | xargs -0r sha256sum"
        return self.runner.shell(f"cd /data/volumes/notify && {found}")

    def content(self) -> dict[str, Any]:
        """All that a backup must bring back."""
        known: dict[str, Any] = {"files": self.files()}
        if "database" in self.captures:
            known["rows"] = self.rows()
        if "broker" in self.captures:
            known["messages"] = [self.content_of_queue(queue) for queue in ("orders", "orders.stored::notify")]
        return known

    def content_of_queue(self, queue: str) -> list[str]:
        """The bodies of its messages, in order of the alphabet; they stay there."""
        bodies: list[str] = json.loads(self._messages("look", queue))
        return bodies

    def empty(self) -> bool:
        """Whether no volume holds anything."""
        mounts = [self._volume(name, f"/data/volumes/{name}") for name in self.captures]
        script = "find /data/volumes -mindepth 2 ! -path '*/.stele*'"
        return self.run_once("look", "backup", mounts, "bash", "-c", script) == ""


def outcomes(box: Box) -> list[str]:
    """What came of each try to load, in order: a runner that cannot goes on trying."""
    lines = (line.partition("Z ")[2] if "Z cannot start: " in line else line for line in box.log().splitlines())
    return [line for line in lines if line.startswith(("loaded: ", "cannot start: "))]


def loaded(box: Box, before: int = 0) -> dict[str, Any]:
    """The report of the first try after ``before``. Raises Refused with its one line where that is what came of it."""

    def over() -> bool:
        return len(outcomes(box)) > before or not box.running()

    wait_until("the load", over, limit=900)
    if len(found := outcomes(box)) <= before:
        raise Refused(box.log().splitlines()[-1] if box.log() else "no word")
    if not found[before].startswith("loaded: "):
        raise Refused(found[before])
    report: dict[str, Any] = json.loads(found[before].removeprefix("loaded: "))
    return report


def serving(box: Box) -> None:
    """It answers as ready, which a broker says in standby too."""

    def ready() -> bool:
        try:
            return "standby" not in (said := box.run("/opt/stele/health", "ready")) and bool(said)
        except Refused:
            return False

    wait_until(f"{box.container.name} serves", ready, box)
