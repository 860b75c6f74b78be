"""A backup that waits between storing and verifying, once, for whoever damages what was stored: until its file
``/data/.paused`` is removed. Prints the backup's name."""

from __future__ import annotations

import sys
import time
from typing import Any
from unittest.mock import patch

sys.path.insert(0, "/opt/stele/lib")
from runner import night
from runner import settings as configured
from runner.settings import DATA
from runner.verify import verify

PAUSED = DATA / ".paused"
LIMIT = 900  # seconds
told: list[str] = []


def paused(*given: Any) -> None:
    if not told:
        PAUSED.touch()
        told.append("once")
    deadline = time.monotonic() + LIMIT
    while PAUSED.exists():
        if time.monotonic() > deadline:  # of a test that failed meanwhile, and waits for this
            raise SystemExit(f"{PAUSED} is still there")
        time.sleep(0.05)
    verify(*given)


with patch.object(night, "verify", paused):
    print(night.back_up(configured.load())["name"])
