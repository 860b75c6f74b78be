"""What an update would make of a resource: upstream's plan, computed on whole values.

Upstream plans on a legacy, flat picture of a resource in which an unset attribute of an existing object is
indistinguishable from its zero value. Its plans therefore turn nulls into zero values as soon as anything else changes,
and the recorded answers show that. `o` below is such a zero-filled old value, `n` what the program asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .propose import propose
from .schema import UNKNOWN, Block, Field, Kind
from .setorder import identity, ordered
from .zero import equivalent, filled, filled_top, keep_nulls, scalar_text, zero_text


@dataclass(frozen=True)
class Plan:
    """The planned attributes, whether they differ from the old ones, and whether only a replacement reaches them."""

    attributes: dict[str, Any]
    changed: bool
    replace: bool


@dataclass(frozen=True)
class Step:
    """The outcome for one attribute."""

    value: Any
    differs: bool = False
    replace: bool = False


def _changed(value: Any, *, replaces: bool = False) -> Step:
    return Step(value, differs=True, replace=replaces)


def plan(prior: dict[str, Any] | None, config: dict[str, Any], block: Block) -> Plan:
    """Plan the change from `prior` (None for a creation) to `config`, both with every key of `block`."""
    proposed = propose(prior, config, block)
    old = filled_top(prior, block) if prior is not None else None
    planner = _Planner(creating=prior is None)
    steps = {key: planner.field(spec, old.get(key) if old else None, proposed[key]) for key, spec in block.items()}
    steps["id"] = Step((prior or {}).get("id") or UNKNOWN)
    if prior is not None and not any(step.differs for step in steps.values()):
        return Plan(prior, changed=False, replace=False)
    planned = {key: step.value for key, step in steps.items()}
    planned = {key: keep_nulls(planned[key], proposed.get(key), spec, applied=False) for key, spec in block.items()}
    if prior is None:
        return Plan(unknowns(planned, block), changed=True, replace=False)
    if equivalent(prior, planned):
        return Plan(prior, changed=False, replace=False)
    return Plan(planned, changed=True, replace=any(step.replace for step in steps.values()))


def unknowns(planned: dict[str, Any], block: Block) -> dict[str, Any]:
    """A creation's plan: what the engine will decide is not known yet."""
    out = {}
    for key, spec in block.items():
        value = planned[key]
        if value is None and spec.computed and not spec.is_block:
            value = UNKNOWN
        elif spec.elem is not None and isinstance(value, list):
            value = [unknowns(item, spec.elem) if isinstance(item, dict) else item for item in value]
        out[key] = value
    return out


@dataclass(frozen=True)
class _Planner:
    creating: bool

    def field(self, spec: Field, o: Any, n: Any, *, everything: bool = False) -> Step:
        """Plan one attribute. `everything`: inside a changed set, where upstream records unchanged values too."""
        if spec.is_block and n == []:
            n = None
        if spec.kind is Kind.MAP:
            return self._map(spec, o, n)
        if not spec.is_collection:
            return self._scalar(spec, o, n, everything=everything)
        if o is not None and n is None and spec.computed:
            return Step(o)
        if n is UNKNOWN:
            return _changed(UNKNOWN, replaces=spec.force_new)
        if spec.computed and not o and n is None:
            return _changed(UNKNOWN, replaces=spec.force_new)
        if spec.elem is None:
            return self._strings(spec, o, n, everything=everything)
        return (self._set if spec.kind is Kind.SET else self._list)(spec, spec.elem, o, n, everything=everything)

    def _scalar(self, spec: Field, o: Any, n: Any, *, everything: bool) -> Step:
        if n is None and spec.default is not None:
            n = spec.default
        if n is UNKNOWN:
            return _changed(UNKNOWN, replaces=spec.force_new)
        old = scalar_text(o)
        new = scalar_text(n) if n is not None else zero_text(spec) if o is not None else ""
        kept = Step(o if o is not None else "" if spec.required and spec.kind is Kind.STRING else None)
        if old == new and not everything and (old or not self.creating or not spec.computed):
            return kept
        removed = o is not None and n is None
        if spec.computed and (removed or (old and not new)):
            return kept
        if spec.same and spec.same(old, new):
            return Step(o, differs=everything)
        if spec.computed and not new:
            return _changed(UNKNOWN, replaces=spec.force_new)
        replaces = spec.force_new and old != new
        if removed:
            return _changed(None, replaces=replaces)
        return _changed(("" if spec.kind is Kind.STRING else None) if old == new == "" else n, replaces=replaces)

    def _strings(self, spec: Field, o: Any, n: Any, *, everything: bool) -> Step:
        old, new = o or [], n or []
        is_set = spec.kind is Kind.SET
        same = (set(map(str, old)) == set(map(str, new))) if is_set else old == new
        if same and not everything:
            return Step(o)
        return _changed(ordered(new, spec) if is_set else list(new), replaces=spec.force_new and not same)

    def _map(self, spec: Field, o: Any, n: Any) -> Step:
        if n is UNKNOWN or any(value is UNKNOWN for value in (n or {}).values()):
            return _changed(UNKNOWN, replaces=spec.force_new)
        if n is None and spec.computed:
            return _changed(UNKNOWN, replaces=spec.force_new) if o is None else Step(o)
        if (o or {}) == (n or {}):
            return Step(o)
        return _changed(dict(n or {}), replaces=spec.force_new)

    def _object(self, block: Block, o: dict[str, Any] | None, n: Any, *, everything: bool) -> Step:
        if n is UNKNOWN:
            return _changed(UNKNOWN)
        steps = {
            key: self.field(spec, o.get(key) if o else None, n.get(key), everything=everything)
            for key, spec in block.items()
        }
        return Step(
            {key: step.value for key, step in steps.items()},
            any(step.differs for step in steps.values()),
            any(step.replace for step in steps.values()),
        )

    def _list(self, spec: Field, block: Block, o: Any, n: Any, *, everything: bool) -> Step:
        old, new = o or [], n or []
        steps = []
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            steps.append(self._object(block, before, new[index] if index < len(new) else {}, everything=everything))
        differs = everything or len(old) != len(new) or any(step.differs for step in steps)
        replaces = any(step.replace for step in steps) or (spec.force_new and len(old) != len(new))
        return Step([step.value for step in steps[: len(new)]] if differs else old, differs, replaces)

    def _set(self, spec: Field, block: Block, o: Any, n: Any, *, everything: bool) -> Step:
        old = {identity(item, spec): item for item in o or []}
        new = {identity(_read(item, block), spec): item for item in n or []}
        if not everything and set(old) == set(new):
            return Step(o if o is not None else [])
        added = [self._object(block, old.get(key), item, everything=True) for key, item in new.items()]
        gone = [self._object(block, item, {}, everything=True) for key, item in old.items() if key not in new]
        replaces = any(step.replace for step in (*added, *gone)) or (spec.force_new and len(old) != len(new))
        return _changed(ordered([step.value for step in added], spec), replaces=replaces)


def _read(item: Any, block: Block) -> Any:
    """A configured set element as upstream reads it to tell whether it is a new one: defaults and zero values in."""
    if item is UNKNOWN:
        return item
    given = {key: spec.default if item.get(key) is None else item.get(key) for key, spec in block.items()}
    return filled(given, block)
