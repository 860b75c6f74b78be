"""An engine that does not answer stops an environment with one line, which leads to the engine that is meant."""

from __future__ import annotations

import os
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
    monkeypatch.setattr(boundary, "_SSH_PATIENCE", 0.2)
    with pytest.raises(SystemExit):
        boundary._require_engine(REMOTE, "hosts")
    (line,) = said
    told = f"root@10.0.0.5 refuses SSH: no answer within 0.2 s; try: ssh root@10.0.0.5 true; or {ANOTHER}"
    assert line.endswith(told)
