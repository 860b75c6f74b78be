"""One line for each thing that happens, as the other families write them."""

from __future__ import annotations

from datetime import UTC, datetime


def log(text: str) -> None:
    text = text.encode(errors="backslashreplace").decode()  # a file's name may be no UTF-8
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:23] + f"Z {text}", flush=True)
