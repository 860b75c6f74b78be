"""``python3 -m runner serve | backup | night | status | list``."""

from __future__ import annotations

import json
import signal
import sys
import time

from . import settings as configured
from .management import health
from .night import HURRY, back_up
from .pacing import paced
from .problem import problem_of
from .repository import Backups
from .serve import NIGHT, main
from .store import Store


def _backup() -> None:
    record = back_up(configured.load())
    print(json.dumps({key: record[key] for key in ("name", "result", "bytes", "added", "files", "rows", "messages")}))


def _list() -> None:
    settings = configured.load()
    for name, record in Backups(Store(settings.storage), settings.stack).records().items():
        print(name, record["result"], record.get("bytes", ""), record.get("reason", ""))


def _status() -> None:
    print(": ".join(health(time.time())))


def _night() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # paced() ends the rest, then
    sys.exit(paced(NIGHT, HURRY))


VERBS = {"backup": _backup, "list": _list, "night": _night, "status": _status}

if __name__ == "__main__":
    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    if verb == "serve":
        sys.exit(main())
    if verb not in VERBS:
        print(f"usage: backup {' | '.join(VERBS)}", file=sys.stderr)
        sys.exit(2)
    try:
        VERBS[verb]()
    except Exception as error:  # noqa: BLE001 - one line, whatever it was
        print(problem_of(error), file=sys.stderr)
        sys.exit(1)
