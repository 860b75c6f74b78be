"""Wait until a task runner has loaded, migrated and opened the volumes: ``python -m commands.await_load SERVICE``.

`pulumi up` runs it between the runner and everything else. It shows the runner's steps as they happen, has no limit
while the runner works (a disaster recovery may take hours), and stops at once with the runner's own reason when that
gives up. The report of the load is its output.
"""

from __future__ import annotations

import re
import sys
import time
from datetime import datetime
from typing import Any

import requests
from docker.errors import DockerException, NotFound

from hosts.engine_client import from_env

FAILURES = 2  # the first one may be a store or an engine that is just starting
ENDED = {"failed", "rejected", "complete", "shutdown", "orphaned"}
PATIENCE = 120  # seconds for a task to begin at all
DONE, GIVEN_UP = "loaded: ", "cannot start: "
_STAMP = re.compile(r"^\S+Z ")


class Waiting:
    """What has been seen so far of one service's tasks."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._running = time.time()
        self._began = int(self._running)  # the engine's stamps are taken by the second
        self._shown: set[str] = set()
        self._known: dict[str, int] = {}  # reasons that tasks had given before this began: what was wrong may be mended

    def report(self) -> str:
        """The report of the load. Raises RuntimeError with the runner's reason."""
        first = True
        while True:
            tasks = sorted(self._service.tasks(), key=lambda task: str(task["CreatedAt"]))
            lines = self._lines(tasks[-1]) if tasks else []
            if first and tasks:
                self._known[tasks[-1]["ID"]] = sum(GIVEN_UP in line for line in lines)
            first = False
            for line in lines:
                if line.startswith(DONE):
                    return line.removeprefix(DONE)
            self._give_up(tasks, lines)
            time.sleep(0.5)

    def _lines(self, task: Any) -> list[str]:
        """What the newest task says, without its time stamps; new lines are shown."""
        since = int(_moment(task["CreatedAt"]))
        text = b"".join(self._service.logs(stdout=True, stderr=True, since=since)).decode(errors="replace")
        for line in text.splitlines():
            if line not in self._shown:
                self._shown.add(line)
                if not _STAMP.sub("", line).startswith(DONE):
                    print(_STAMP.sub("", line), file=sys.stderr, flush=True)
        return [_STAMP.sub("", line) for line in text.splitlines()]

    def _give_up(self, tasks: list[Any], lines: list[str]) -> None:
        given = [line.partition(GIVEN_UP)[2] for line in lines if GIVEN_UP in line]
        reasons = given[self._known.get(tasks[-1]["ID"], 0) :] if tasks else []
        if len(reasons) >= FAILURES:
            raise RuntimeError(reasons[-1])
        states = [(task["Status"]["State"], _moment(task["CreatedAt"])) for task in tasks]
        failed = [at for state, at in states if state in ENDED and at >= self._began]
        if len(failed) >= FAILURES:
            raise RuntimeError(f"its tasks end at once: {tasks[-2]['Status'].get('Err') or 'no reason given'}")
        if any(state == "running" for state, _ in states):
            self._running = time.time()
        elif time.time() - self._running > PATIENCE:
            last = states[-1][0] if states else "there is none"
            raise RuntimeError(f"no task of it runs within {PATIENCE} s: {last}")


def _moment(stamp: str) -> float:
    """Seconds since 1970 of the engine's time stamps, which have nine decimals."""
    return datetime.fromisoformat(f"{stamp[:19]}+00:00").timestamp()


def main(name: str) -> int:
    """Print the report, or the reason; 1 when the load failed."""
    try:
        engine: Any = from_env()
        print(Waiting(engine.services.get(name)).report())
    except NotFound:
        print(f"{name}: there is no such service; pulumi up again", file=sys.stderr)
        return 1
    except (RuntimeError, DockerException, requests.RequestException) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: python -m commands.await_load SERVICE", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
