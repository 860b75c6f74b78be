"""PostgreSQL: the stack's own, reached by its name, and one made in a folder from a dump."""

from __future__ import annotations

import hmac
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .log import log
from .problem import Problem
from .settings import FLOWS, Settings, secret
from .signature import signing_key

BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), Path("/usr/bin"))
PORT = "5432"
# seconds for a connection: on a saturated machine the pacing of a night stops whoever connects for many. Below the
# server's own authentication_timeout, whose reason would be a worse one
CONNECT_PATIENCE = 30
DUMP_PATIENCE = 60  # seconds for a lock
LOCK_PATIENCE = 5  # seconds: whoever reads the table queues behind a migration that waits, e.g. for a night's dump
SUPERUSER = "stele"
# What a database is at before any migration has said otherwise.
FIRST_SCHEMA = 1
SCHEMA_TABLE = """
create schema if not exists stele;
create table if not exists stele.migrations (version integer primary key, applied timestamptz not null default now());
"""


# What is some session's own (pg_temp_N) is nobody's data.
# One statement, whatever the tables are called: who may make tables must not get a word into what the runner executes.
ROWS = """
select json_object_agg(format('%I.%I', schemaname, tablename), (xpath('/row/n/text()', query_to_xml(
    format('select count(*) as n from %I.%I', schemaname, tablename), false, true, '')))[1]::text::bigint)
from pg_tables where schemaname !~ '^pg_' and schemaname <> 'information_schema'
"""


@dataclass(frozen=True)
class Database:
    """One database: where it answers, and as whom to speak to it: its owner, who may do no more than its runtimes."""

    name: str
    env: dict[str, str]

    def query(self, statement: str) -> str:
        """The answer as text, a line a row. Raises Problem with PostgreSQL's first line."""
        return self.psql("--tuples-only", "--no-align", "--command", statement)

    def run(self, script: str) -> None:
        """A script in one transaction: all of it or nothing. For a lock it waits LOCK_PATIENCE."""
        try:
            patience = f"set local lock_timeout = '{LOCK_PATIENCE}s';\n"
            self.psql("--single-transaction", "--file=-", data=patience + script)
        except Problem as problem:
            if "lock timeout" not in str(problem):
                raise
            raise Problem(f"{problem}: a table is in use for over {LOCK_PATIENCE} s, perhaps by a backup") from None

    def load(self, dump: Path) -> None:
        """A dump in one transaction."""
        self.psql("--single-transaction", "--file", str(dump))

    def psql(self, *words: str, data: str | None = None) -> str:
        """What psql prints. Raises Problem with PostgreSQL's first line."""
        options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--dbname", self.name)
        done = subprocess.run(
            [BIN / "psql", *options, *words],
            env=os.environ | self.env,
            input=data,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            wrong = next((line for line in done.stderr.splitlines() if "ERROR" in line or "error" in line), done.stderr)
            raise Problem(f"database {self.name}: {wrong.strip() or 'no reason given'}")
        return done.stdout.strip()

    def rows(self) -> dict[str, int]:
        """The number of rows of every table, all seen at one moment."""
        return _rows(self.query(ROWS))

    def schema(self) -> int:
        """The version that the data is at."""
        if self.query("select to_regclass('stele.migrations')") == "":
            return FIRST_SCHEMA
        return int(self.query(f"select coalesce(max(version), {FIRST_SCHEMA}) from stele.migrations"))

    def dump(self, path: Path) -> dict[str, int]:
        """Write a dump and return the rows of every table, both of the same moment."""
        # psql holds the snapshot while pg_dump reads it.
        dump = (
            f'{BIN}/pg_dump --snapshot="$STELE_SNAPSHOT" --no-owner --no-privileges --file="$STELE_DUMP" '
            f"--lock-wait-timeout={DUMP_PATIENCE}s --restrict-key={_restrict_key()}"
        )
        script = f"""
            begin transaction isolation level repeatable read read only;
            select pg_export_snapshot() as snapshot \\gset
            \\setenv STELE_SNAPSHOT :snapshot
            \\! {dump} 2>&1 && echo complete
            {ROWS};
        """
        env = {"STELE_DUMP": str(path), "PGDATABASE": self.name}
        words = ("--tuples-only", "--no-align", "--file=-")
        try:
            said = replace(self, env=self.env | env).psql(*words, data=script).splitlines()
            if "complete" not in said:
                wrong = next((line for line in said if line.startswith("pg_dump: ")), "pg_dump gave no reason")
                raise Problem(f"database {self.name}: {wrong}")
        except Problem as problem:
            if "lock timeout" not in str(problem):
                raise
            mend = f"a table is locked for over {DUMP_PATIENCE} s; end what holds it (pg_stat_activity)"
            raise Problem(f"{problem}: {mend}") from None
        return _rows("".join(said[said.index("complete") + 1 :]))


def _rows(answer: str) -> dict[str, int]:
    """The answer to ROWS."""
    return {str(name): int(count) for name, count in (json.loads(answer) if answer else {}).items()}


def _restrict_key() -> str:
    """What shuts psql's commands out of a dump's data (CVE-2025-8714): unknown to who writes data, the same each night.

    pg_dump's own is random, so that the chunks at both ends of an unchanged dump, megabytes, would be stored anew.
    Every process of the machine can read this argument, so it must not help to guess ``backup-key``.
    """
    return hmac.new(signing_key(secret("backup-key")), b"pg_dump", "sha256").hexdigest()


def names(settings: Settings) -> tuple[str, str]:
    """Owner and name of the database, as layer 4 has them."""
    owner = settings.properties.get("DATABASE_USER", "stele_user")
    return owner, settings.properties.get("DATABASE_NAME", owner)


def running(settings: Settings, host: str) -> Database:
    """The stack's own database, which answers under its runtime's name. Nothing waits for a lock for ever."""
    owner, name = names(settings)
    env = {"PGHOST": host, "PGPORT": PORT, "PGUSER": owner, "PGPASSWORD": secret("database-password")}
    env |= {"PGCONNECT_TIMEOUT": str(CONNECT_PATIENCE), "PGOPTIONS": f"-c lock_timeout={DUMP_PATIENCE}s"}
    return Database(name, env)


@contextmanager
def cluster(folder: Path, sockets: Path, settings: Settings, *, durable: bool = True) -> Iterator[Database]:
    """A PostgreSQL over ``folder``, made if it is not there, which only this container reaches. Stopped at the end."""
    sockets.mkdir(parents=True, exist_ok=True)
    env = {"PGHOST": str(sockets), "PGPORT": PORT, "PGUSER": SUPERUSER, "LC_ALL": "C.UTF-8"}
    if not (folder / "PG_VERSION").exists():
        _initialise(folder)
    said = sockets / "postgres.log"
    sockets.chmod(0o700)
    # What was dumped can run functions of its own. So it is loaded, and migrated, as its owner from the connection on:
    # who connects as the superuser and takes another role can be made to go back.
    rules = sockets / "hba.conf"
    rules.write_text("local all all trust\n")
    options = {"unix_socket_directories": sockets, "listen_addresses": "", "port": PORT, "max_wal_size": "2GB"}
    options |= {"hba_file": rules}
    options |= {"fsync": "on" if durable else "off", "full_page_writes": "on" if durable else "off"}
    words = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
    with said.open("wb") as output:
        process = subprocess.Popen(
            [BIN / "postgres", "-D", folder, *words], env=os.environ | env, stdout=output, stderr=output
        )
    try:
        _await(process, env, said)
        owner, name = names(settings)
        administration = Database("postgres", env)
        if not administration.query(f"select 1 from pg_roles where rolname = '{owner}'"):
            administration.query(f'create role "{owner}" login')
        if not administration.query(f"select 1 from pg_database where datname = '{name}'"):
            administration.query(f'create database "{name}" owner "{owner}"')
        yield Database(name, env | {"PGUSER": owner})
    finally:
        process.send_signal(signal.SIGINT)  # everything is written, the next start needs no recovery
        process.wait()
    if process.returncode:
        raise Problem(f"{folder}: PostgreSQL did not end in good order (exit code {process.returncode})")


def _initialise(folder: Path) -> None:
    options = (
        "--auth-local=peer",
        "--auth-host=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    )
    command = [
        str(BIN / "initdb"),
        f"--pgdata={folder}",
        f"--username={SUPERUSER}",
        *options,
        "--no-instructions",
        "--no-sync",
    ]
    done = subprocess.run(command, env=os.environ | {"LC_ALL": "C.UTF-8"}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"{folder}: no database can be made: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    with (folder / "pg_hba.conf").open("a") as rules:
        rules.write("host all all all scram-sha-256\n")


def _await(process: subprocess.Popen[bytes], env: dict[str, str], said: Path) -> None:
    ready = [str(BIN / "pg_isready"), "--quiet", "--dbname=postgres"]
    while subprocess.run(ready, env=os.environ | env, check=False).returncode:
        if process.poll() is not None:
            lines = said.read_text(errors="replace").strip().splitlines()
            raise Problem(f"PostgreSQL does not start: {lines[-1] if lines else 'no reason given'}")
        time.sleep(0.05)


def migrate(database: Database, schema: dict[str, int]) -> int:
    """Bring the data to the release's schema, once, in one transaction; returns the version it is at.

    Raises Problem when the release cannot run on this data; nothing is changed then.
    """
    at = database.schema()
    if at > schema["needs"]:
        raise Problem(
            f"schema: the data is at {at}, this release needs {schema['needs']}: it cannot follow; "
            "deploy the newer release, or restore an earlier backup in a stack of its own (restore: <backup>)"
        )
    if at < schema["oldest"]:
        raise Problem(
            f"schema: the data is at {at}, this release runs on {schema['oldest']} or later; "
            "deploy a release in between first"
        )
    steps = {int(path.name.split("-")[0]): path for path in sorted((FLOWS / "migrations").glob("[0-9]*-*.sql"))}
    for version in range(at + 1, schema["needs"] + 1):
        if version not in steps:
            raise Problem(
                f"schema: this release needs {schema['needs']}, but has no migration {version}; publish one that has"
            )
    if at < schema["needs"]:
        # Held until the end, so that two runners cannot both begin.
        script = SCHEMA_TABLE + "lock table stele.migrations in exclusive mode;\n"
        for version in range(at + 1, schema["needs"] + 1):
            script += f"insert into stele.migrations (version) values ({version});\n{steps[version].read_text()}\n"
        database.run(script)
        log(f"migrated from schema {at} to {schema['needs']}")
    return schema["needs"]
