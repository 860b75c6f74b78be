"""Durations as Go reads and writes them; in nanoseconds here."""

from __future__ import annotations

import re

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> int:
    """`1m30s` -> 90000000000. Raises ValueError."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    if not rest or _PART.sub("", rest):
        raise ValueError(f"'{text}' is not a valid duration")
    total = 0.0
    exact = 0
    for amount, unit in _PART.findall(rest):
        if "." in amount:
            total += float(amount) * _UNITS[unit]
        else:
            exact += int(amount) * _UNITS[unit]
    return sign * (exact + round(total))


def lenient_duration(text: str | None) -> int:
    """The duration, or 0 where there is none: the check has refused bad ones already."""
    try:
        return parse_duration(text or "0")
    except ValueError:
        return 0


def go_duration(nanoseconds: int) -> str:
    """As Go prints it: `1m30s`, `1.5s`, `200ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit in ("ns", "µs", "ms"):
        size = _UNITS[unit]
        if left < size * 1000:
            return f"{sign}{_decimal(left, size)}{unit}"
    hours, left = divmod(left, _UNITS["h"])
    minutes, left = divmod(left, _UNITS["m"])
    seconds = f"{_decimal(left, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def short_duration(nanoseconds: int) -> str:
    """As upstream shows it: `1m` instead of `1m0s`."""
    text = go_duration(nanoseconds)
    text = text[:-2] if text.endswith("m0s") else text
    return text[:-2] if text.endswith("h0m") else text


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = len(str(unit)) - 1
    fraction = f"{rest:0{digits}d}".rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
