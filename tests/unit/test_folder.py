"""What is said when a runtime's folder cannot be made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import DockerException

from hosts import folder

MEND = "mount it on every host of the cluster (docs/hosts.md: Data), or: pulumi config set state <another folder>"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "400 (invalid mount config: bind source path does not exist: /srv/stele)",
            f"it is not there, or is read-only; {MEND}",
        ),
        (
            "exit status 1: mkdir: cannot create directory '/parent/x': Read-only file system",
            f"it is not there, or is read-only; {MEND}",
        ),
        ("chown: Operation\n not permitted", "chown: Operation not permitted"),
    ],
    ids=["no folder", "nothing is mounted", "anything else"],
)
def test_what_is_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str, shown: str
) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise DockerException(said)

    client = SimpleNamespace(containers=SimpleNamespace(run=run))
    monkeypatch.setattr(folder, "from_env", lambda timeout: client)
    assert folder.main(["image", "/srv/stele", "orders-ledger"]) == 1
    assert capsys.readouterr().err == f"stele:state: /srv/stele: {shown}\n"
