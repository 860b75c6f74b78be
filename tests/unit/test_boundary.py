"""An engine that does not answer stops an environment with one line, which leads to the engine that is meant."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import boundary

REMOTE = "ssh://root@10.0.0.5"
ANOTHER = "export DOCKER_HOST of another manager: pulumi stack output hosts -s hosts"


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that the program ends with; ``ssh`` is refused."""
    lines: list[str] = []
    (tmp_path / "ssh").write_text("#!/bin/sh\n${SLOW:+exec sleep 987}\necho No route to host >&2; exit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("pulumi.log.error", lines.append)
    return lines


@pytest.mark.parametrize(
    ("host", "cluster", "mend"),
    [
        (REMOTE, "hosts", f"root@10.0.0.5 refuses SSH: No route to host; try: ssh root@10.0.0.5 true; or {ANOTHER}"),
        (REMOTE, None, "root@10.0.0.5 refuses SSH: No route to host; try: ssh root@10.0.0.5 true"),
        ("unix:///nowhere", "hosts", f"[Errno 2] No such file or directory; {ANOTHER}"),
        ("tcp://127.0.0.1:1", None, '; start it (`platform/local up`), or: eval "$(make -s env)"'),
    ],
)
def test_an_engine_that_does_not_answer_is_one_line(said: list[str], host: str, cluster: str | None, mend: str) -> None:
    with pytest.raises(SystemExit):
        boundary._require_engine(host, cluster)
    (line,) = said
    assert line.startswith(f"the Docker engine at {host} (DOCKER_HOST) does not answer: ")
    assert line.endswith(mend)


def test_a_login_that_hangs_is_given_up(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOW", "yes")
    monkeypatch.setattr(boundary, "_SLOW", 0.2)
    with pytest.raises(SystemExit):
        boundary._require_engine(REMOTE, "hosts")
    (line,) = said
    told = f"root@10.0.0.5 refuses SSH: no answer within 0.2 s; try: ssh root@10.0.0.5 true; or {ANOTHER}"
    assert line.endswith(told)


INFO = {"Swarm": {"LocalNodeState": "active", "Cluster": {"ID": "abc"}}}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    """One that says this of itself."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(INFO).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def address_string(self) -> str:
            return "unix"

    with socketserver.UnixStreamServer(str(tmp_path / "engine"), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{tmp_path}/engine"
        server.shutdown()


def test_the_swarm_of_an_engine_is_known(engine: str) -> None:
    assert boundary._require_engine(engine, None) == "abc"


@pytest.mark.parametrize(("said", "known"), [(json.dumps(INFO), "abc"), ('{"Swarm": null}', None), ("no such", None)])
def test_and_of_one_over_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, known: str | None) -> None:
    (tmp_path / "ssh").write_text(f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert boundary._require_engine(REMOTE, None) == known
