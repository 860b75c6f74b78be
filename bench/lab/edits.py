"""What a developer changes in the runtimes of a workspace: a flow, the template, and five ways to break a release."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.lab.workspace import Workspace

_SERVICE = """import stele.Service;
import stele.Surroundings;

/** Starts before the runtime's own flows, which are later in the alphabet. */
public class Ahead implements Service {{
    @Override
    public void start(Surroundings surroundings) throws Exception {{
        {body}
    }}

    @Override
    public void stop() {{}}
}}
"""


def change_flow(workspace: Workspace, runtime: str, revision: int = 1) -> None:
    """Change one flow of a jvm runtime."""
    text = (
        f'/** Changed by a test. */\nfinal class Revision {{\n    static final String OF_THE_FLOW = "{revision}";\n}}\n'
    )
    (workspace.runtime(runtime) / "flows" / "Revision.java").write_text(text)


def bump_template(workspace: Workspace, version: int = 2) -> None:
    """A new version of the runtime template: every image is regenerated."""
    _replace(workspace.folder / "runtimes" / "template.yaml", r"^version: .*$", f'version: "{version}"')


def bump_recipe(workspace: Workspace, family: str, version: int = 2) -> None:
    """A new recipe version of one family: how its containers are started and wired."""
    template = workspace.folder / "runtimes" / family / "template.yaml"
    _replace(template, r"^recipe: .*$", f"recipe: {version}")
    _replace(template, r"\bgrace: \d+", "grace: 33")


def _replace(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise AssertionError(f"{path}: {pattern!r} was found {count} times")
    path.write_text(text)


@dataclass(frozen=True)
class Bad:
    """A bad release: which runtime is broken, how, and what an operator must be told about it."""

    name: str
    runtime: str
    told: str
    edit: Callable[[Workspace], None]


def _ahead(workspace: Workspace, runtime: str, body: str) -> None:
    (workspace.runtime(runtime) / "flows" / "Ahead.java").write_text(_SERVICE.format(body=body))


def _crash(workspace: Workspace) -> None:
    # A good change beside the bad one: its new generation must go away again when the release is taken back.
    change_flow(workspace, "ledger")
    _ahead(workspace, "intake", 'throw new IllegalStateException("no tariff for slabs");')


def _hang(workspace: Workspace) -> None:
    (flow,) = sorted((workspace.runtime("notify") / "flows").glob("*.js"))[:1]
    flow.write_text("console.log('counting to infinity');\nfor (;;) {}\n" + flow.read_text())


def _slow(workspace: Workspace) -> None:
    _ahead(workspace, "ledger", 'System.out.println("reading a very long price list"); Thread.sleep(120_000);')


def _unready(workspace: Workspace) -> None:
    body = 'surroundings.readiness().note("the price list is empty"); Thread.sleep(3_600_000);'
    _ahead(workspace, "intake", body)


def _schema(workspace: Workspace) -> None:
    _replace(workspace.runtime("database") / "flows" / "1-orders.sql", r"^create table", "create tabel")


BAD = (
    Bad("crash", "intake", "no tariff for slabs", _crash),
    Bad("hang", "notify", "counting to infinity", _hang),
    Bad("slow", "ledger", "reading a very long price list", _slow),
    Bad("unready", "intake", "the price list is empty", _unready),
    Bad("schema", "database", 'syntax error at or near "tabel"', _schema),
)


def add_small_product(workspace: Workspace, product: str, *, backup: bool = False) -> None:
    """A second product of two runtimes that start in a moment: a front door and a database; and a task runner."""
    folder = workspace.folder / "runtimes" / product
    for name, files in (_SMALL | (_SMALL_BACKUP if backup else {})).items():
        for path, text in files.items():
            target = folder / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


_SMALL = {
    "store": {
        "runtime.yaml": "family: postgres\nsecrets: [database-password]\nvolume: /data\n",
        "flows/1-stones.sql": "create table if not exists stones (id text primary key);\n",
        "config/database.properties": "DATABASE_USER=tiny\nDATABASE_NAME=tiny\n",
    },
    "door": {
        "runtime.yaml": "family: haproxy\nfront: true\nneeds: [store]\n",
        "flows/none.txt": "This door answers by itself.\n",
        "config/haproxy.cfg": """global
    log stdout format raw local0 info
    hard-stop-after 5s

defaults
    mode http
    option idle-close-on-response
    timeout connect 1s
    timeout client 30s
    timeout server 30s

frontend front
    bind :8080
    http-request return status 200 content-type application/json file /etc/stele/version.json if { path /version }
    http-request return status 200 content-type application/json string '{"status":"ok"}'

frontend management
    bind :9000
    http-request return status 200 content-type text/plain string "ready" if { path /ready }
    http-request return status 200 content-type text/plain string "live"
""",
    },
}
_SMALL_BACKUP = {
    "backup": {
        "runtime.yaml": "family: task-runner\nsecrets: [backup-key, storage-secret, database-password]\n",
        "flows/none.txt": "No migrations.\n",
        "config/database.properties": "DATABASE_USER=tiny\nDATABASE_NAME=tiny\n",
    },
}
