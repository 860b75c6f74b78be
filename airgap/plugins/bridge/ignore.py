"""The resource option `ignore_changes`."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

_STEP = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')


def keep_ignored(olds: dict[str, Any], news: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """The new inputs, with the old state's values at the given property paths (`a.b[0]["c"]`)."""
    if not paths:
        return news
    out = copy.deepcopy(news)
    for path in paths:
        steps = [quoted or (int(index) if index else name) for quoted, index, name in _STEP.findall(path)]
        _carry(olds, out, steps)
    return out


def _carry(old: Any, new: Any, steps: list[Any]) -> None:
    if not steps:
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        if not isinstance(old, list) or not isinstance(new, list) or step >= min(len(old), len(new)):
            return
    elif not isinstance(old, dict) or not isinstance(new, dict):
        return
    if rest:
        _carry(
            old[step] if isinstance(step, int) else old.get(step),
            new[step] if isinstance(step, int) else new.get(step),
            rest,
        )
    elif isinstance(step, int):
        new[step] = old[step]
    elif old.get(step) is None:
        new.pop(step, None)
    else:
        new[step] = old[step]
