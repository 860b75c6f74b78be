"""The proposed state: what the program asks for, plus what the engine decided earlier."""

from __future__ import annotations

from typing import Any

from .schema import UNKNOWN, Block, Kind


def propose(prior: dict[str, Any] | None, config: dict[str, Any], block: Block) -> dict[str, Any]:
    """Merge `config` with the computed values of `prior`; nested lists pair by index, sets by matching elements."""
    out = {}
    for key, spec in block.items():
        asked = config.get(key)
        before = prior.get(key) if prior else None
        if spec.elem is None:
            out[key] = before if asked is None and spec.computed else asked
        elif asked is UNKNOWN:
            out[key] = UNKNOWN
        elif spec.kind is Kind.SET:
            out[key] = _set(before or [], asked or [], spec.elem)
        else:
            old = before or []
            out[key] = [
                propose(old[index], item, spec.elem) if index < len(old) and item is not UNKNOWN else item
                for index, item in enumerate(asked or [])
            ]
    return out


def _set(prior: list[Any], config: list[Any], block: Block) -> list[Any]:
    unused = list(prior)
    out = []
    for item in config:
        match = next((old for old in unused if could_stem_from(old, item, block)), None)
        if match is not None:
            unused.remove(match)
        out.append(propose(match, item, block) if item is not UNKNOWN else item)
    return out


def could_stem_from(prior: dict[str, Any], config: Any, block: Block) -> bool:
    """Whether `prior` is `config` with nothing but computed values added."""
    if config is UNKNOWN:
        return False
    for key, spec in block.items():
        before, asked = prior.get(key), config.get(key)
        if before == asked:
            continue
        if spec.elem is not None and spec.kind is Kind.LIST and asked is not UNKNOWN:
            pairs = zip(before or [], asked or [], strict=False)
            if len(before or []) != len(asked or []) or not all(could_stem_from(a, b, spec.elem) for a, b in pairs):
                return False
        elif not spec.computed or asked is not None:
            return False
    return True
