"""The differences between two states, property by property, as `pulumi preview` shows them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .matching import inputs_behind
from .schema import UNKNOWN, Block, Field, Kind, key_of
from .setorder import identity
from .translate import RESERVED, to_attributes
from .zero import filled

ADD, ADD_REPLACE, DELETE, DELETE_REPLACE, UPDATE, UPDATE_REPLACE = range(6)
REPLACES = {ADD: ADD_REPLACE, DELETE: DELETE_REPLACE, UPDATE: UPDATE_REPLACE}
Path = tuple[str | int, ...]
_PLAIN = re.compile(r"^[a-zA-Z_$][a-zA-Z0-9_$]*$")


def path_text(path: Path) -> str:
    """`("a", 0, "b.c")` -> `a[0]["b.c"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.match(step):
            text += f".{step}" if text else step
        else:
            quoted = step.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{quoted}"]'
    return text


def detailed_diff(
    old: dict[str, Any], new: dict[str, Any], inputs: dict[str, Any], block: Block, *, replace: bool
) -> dict[str, int]:
    """Path -> kind. `replace` is the plan's verdict; when no path explains it, `__meta` stands in for the reason."""
    found = _Differ(inputs).object((), old, new, block)
    if not replace:
        return {path: {v: k for k, v in REPLACES.items()}.get(kind, kind) for path, kind in found.items()}
    if not any(kind in REPLACES.values() for kind in found.values()):
        found["__meta"] = UPDATE_REPLACE
    return found


@dataclass(frozen=True)
class _Differ:
    inputs: dict[str, Any]

    def object(self, path: Path, old: dict[str, Any], new: dict[str, Any], block: Block | None) -> dict[str, int]:
        found: dict[str, int] = {}
        for name in sorted({*old, *new} - RESERVED):
            spec = block.get(key_of(name, block)) if block is not None else None
            found |= self.value((*path, name), old.get(name), new.get(name), spec)
        return found

    def value(self, path: Path, old: Any, new: Any, spec: Field | None, *, forced: bool = False) -> dict[str, int]:
        """`spec` is the attribute's own schema; `forced` that the surrounding collection replaces on change."""
        old, new = None if old == [] else old, None if new == [] else new
        if old is None and new is None:
            return {}
        if old is None or new is None or new is UNKNOWN:
            kind = ADD if old is None else DELETE if new is None else UPDATE
            touched = new if new is not None else old
            force = forced or _forces(spec, touched) or (old is not None and _forces(spec, old))
            return {path_text(path): REPLACES[kind] if force else kind}
        if spec is not None and isinstance(old, list) and isinstance(new, list):
            return (self._set if spec.kind is Kind.SET else self._list)(path, old, new, spec)
        if spec is not None and spec.elem is not None and isinstance(old, dict) and isinstance(new, dict):
            return self.object(path, old, new, spec.elem)
        if isinstance(old, dict) and isinstance(new, dict):
            return self._map(path, old, new, spec)
        if old == new and type(old) is type(new):
            return {}
        return {path_text(path): UPDATE_REPLACE if forced or (spec and spec.force_new) else UPDATE}

    def _map(self, path: Path, old: dict[str, Any], new: dict[str, Any], spec: Field | None) -> dict[str, int]:
        found: dict[str, int] = {}
        for key in sorted({*old, *new}):
            found |= self.value((*path, key), old.get(key), new.get(key), None, forced=bool(spec and spec.force_new))
        return found

    def _list(self, path: Path, old: list[Any], new: list[Any], spec: Field) -> dict[str, int]:
        if spec.elem is None:
            kinds = _edits(old, new)
            return {
                path_text((*path, index)): REPLACES[kind] if spec.force_new else kind for index, kind in kinds.items()
            }
        found: dict[str, int] = {}
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            found |= self._element((*path, index), before, after, spec)
        return found

    def _element(self, path: Path, old: Any, new: Any, spec: Field) -> dict[str, int]:
        if isinstance(old, dict) and isinstance(new, dict) and spec.elem is not None:
            return self.object(path, old, new, spec.elem)
        return self.value(path, old, new, spec if spec.elem is not None else None, forced=spec.force_new)

    def _set(self, path: Path, old: list[Any], new: list[Any], spec: Field) -> dict[str, int]:
        before = {_identity(item, spec): index for index, item in enumerate(old)}
        after = {_identity(item, spec): index for index, item in enumerate(new)}
        removed = sorted(index for key, index in before.items() if key not in after)
        added = sorted(index for key, index in after.items() if key not in before)
        if not removed and not added:
            return {}
        matched = inputs_behind(path, added, new, self.inputs, spec)
        if matched is None or len(matched) != len(added):
            return {path_text(path): UPDATE_REPLACE if spec.force_new else UPDATE}
        found: dict[str, int] = {}
        for index in sorted({*removed, *matched}):
            was = old[index] if index in removed else None
            now = new[matched[index]] if index in matched else None
            found |= self._element((*path, index), was, now, spec)
        return found


def _identity(item: Any, spec: Field) -> str:
    if spec.elem is None or not isinstance(item, dict):
        return identity(item, spec)
    attributes = to_attributes(item, spec.elem)
    return identity(
        filled({key: None if value is UNKNOWN else value for key, value in attributes.items()}, spec.elem), spec
    )


def _forces(spec: Field | None, value: Any) -> bool:
    """Whether anything inside an added or removed value would replace the resource."""
    if spec is None:
        return False
    if spec.force_new:
        return True
    if value is UNKNOWN or spec.elem is None:
        return False
    items = value if isinstance(value, list) else [value]
    return any(
        _forces(spec.elem.get(key_of(name, spec.elem)), inner)
        for item in items
        if isinstance(item, dict)
        for name, inner in item.items()
    )


def _edits(old: list[Any], new: list[Any]) -> dict[int, int]:
    """The shortest edit of a list of scalars: index -> kind; a removal and an insertion at one index are an update."""
    rows, columns = len(old), len(new)
    common = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            same = old[row] == new[column]
            common[row][column] = (
                common[row + 1][column + 1] + 1 if same else max(common[row + 1][column], common[row][column + 1])
            )
    kinds: dict[int, int] = {}
    row = column = 0
    while row < rows or column < columns:
        if row < rows and column < columns and old[row] == new[column]:
            row, column = row + 1, column + 1
        elif row < rows and (column == columns or common[row + 1][column] >= common[row][column + 1]):
            kinds[row] = UPDATE if row in kinds else DELETE
            row += 1
        else:
            kinds[column] = UPDATE if column in kinds else ADD
            column += 1
    return kinds
