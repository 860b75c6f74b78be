"""The official plugin's answers to Check, Diff, Create, Read, Update and Delete, for any resource schema.

A `Backend` does the work on the engine; it reports what it saw as nested attributes in which anything may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .detailed import REPLACES, detailed_diff
from .errors import PartialError, PluginError, listed
from .ignore import keep_ignored
from .plan import Plan, plan
from .rawdelta import raw_state_delta
from .readback import drop_conflicts, imported_inputs, refreshed_inputs
from .schema import UNKNOWN, Block, ResourceSchema, pulumi_name
from .setorder import ordered
from .translate import DEFAULTS, META, RAW_DELTA, to_attributes, to_properties
from .wire import has_unknowns
from .zero import filled_top, keep_nulls

Attributes = dict[str, Any]


class Backend(Protocol):
    """What one resource type does on the engine. Every method raises PluginError with one clear line."""

    def create(self, wanted: Attributes) -> tuple[str, Attributes]:
        """Create it; the identity and what the engine says about it."""

    def read(self, identity: str, known: Attributes) -> tuple[str, Attributes] | None:
        """What the engine says about it; None if it is gone."""

    def update(self, identity: str, wanted: Attributes) -> Attributes:
        """Change it in place; what the engine says afterwards."""

    def delete(self, identity: str, known: Attributes) -> None:
        """Delete it and wait until it is gone."""


@dataclass(frozen=True)
class Difference:
    """The answer to Diff."""

    changed: bool
    detailed: dict[str, int]
    replaces: list[str]
    stables: list[str]
    diffs: list[str]
    delete_first: bool


@dataclass(frozen=True)
class Upstream:
    """One resource type, as the official plugin would handle it."""

    schema: ResourceSchema
    backend: Backend

    @property
    def block(self) -> Block:
        return self.schema.with_id

    def prior(self, state: Attributes, identity: str = "") -> Attributes:
        """The attributes behind a state's properties. Raises PluginError for a state of another schema version."""
        version = json.loads(state.get(META) or "{}").get("schema_version", str(self.schema.version))
        if version != str(self.schema.version):
            raise PluginError(
                f"{self.schema.token}: the state is of schema version {version}, "
                f"this plugin knows {self.schema.version}; run `pulumi refresh` once with the official plugin"
            )
        attributes = to_attributes(state, self.block)
        return {**attributes, "id": attributes.get("id") or identity or None}

    def _plan(self, prior: Attributes | None, inputs: Attributes) -> Plan:
        return plan(prior, to_attributes(inputs, self.block), self.block)

    def diff(self, olds: Attributes, news: Attributes, identity: str, ignored: Sequence[str] = ()) -> Difference:
        """What an update to `news` would change; `ignored` are property paths that keep their old values."""
        prior = self.prior(olds, identity)
        news = keep_ignored(olds, news, ignored)
        planned = self._plan(prior, news)
        if not planned.changed:
            return Difference(
                changed=False, detailed={}, replaces=[], stables=self._stables([]), diffs=[], delete_first=False
            )
        before = to_properties(prior, self.block, secrets=False)
        after = to_properties(planned.attributes, self.block, secrets=False)
        detailed = detailed_diff(before, after, news, self.block, replace=planned.replace)
        roots = {path: _root(path) for path in detailed}
        replaces = sorted(roots[path] for path, kind in detailed.items() if kind in REPLACES.values())
        return Difference(
            changed=True,
            detailed=detailed,
            replaces=replaces,
            stables=self._stables(replaces),
            diffs=sorted(set(roots.values())),
            delete_first=bool(replaces) and self._named_by_hand(news),
        )

    def _stables(self, replaces: Sequence[str]) -> list[str]:
        forcing = (pulumi_name(key, spec) for key, spec in self.schema.fields.items() if spec.force_new)
        return sorted(name for name in forcing if name not in replaces)

    def _named_by_hand(self, news: Attributes) -> bool:
        automatic = news.get(DEFAULTS)
        if not isinstance(automatic, list):
            return False
        return any(
            spec.auto_name and pulumi_name(key, spec) in news and pulumi_name(key, spec) not in automatic
            for key, spec in self.schema.fields.items()
        )

    def create(self, inputs: Attributes, *, preview: bool) -> tuple[str, Attributes]:
        """Create, or say what would be created."""
        planned = self._plan(None, inputs).attributes
        if preview:
            return "", self.properties(planned)
        identity, seen = self.backend.create(_settled(planned))
        return identity, self.properties(self._after(planned, seen, identity))

    def update(
        self,
        olds: Attributes,
        news: Attributes,
        identity: str,
        *,
        preview: bool,
        ignored: Sequence[str] = (),
    ) -> Attributes:
        """Change in place, or say what would be changed. Raises PartialError with the new state when it fails."""
        news = keep_ignored(olds, news, ignored)
        planned = self._plan(self.prior(olds, identity), news)
        if planned.replace:
            raise PluginError(f"{self.schema.token} {identity}: this change needs a replacement, not an update")
        if preview:
            return self.properties(planned.attributes)
        try:
            seen = self.backend.update(identity, _settled(planned.attributes))
        except PluginError as error:
            kept = self.properties(self._after(planned.attributes, {}, identity))
            raise PartialError(listed(str(error)), identity, kept) from error
        return self.properties(self._after(planned.attributes, seen, identity))

    def read(self, state: Attributes, inputs: Attributes, identity: str) -> tuple[str, Attributes, Attributes] | None:
        """Identity, properties and inputs as the engine has them now; None if it is gone."""
        refresh = bool(state)
        prior = self.prior(state if refresh or not self.schema.importable else {}, identity)
        seen = self.backend.read(identity, prior)
        if seen is None:
            return None
        identity, found = seen
        new = self._merged(prior, found)
        attributes = {
            key: keep_nulls(new[key], prior.get(key), spec, applied=False) for key, spec in self.block.items()
        }
        properties = self.properties({**attributes, "id": identity})
        if refresh or not self.schema.importable:
            return identity, properties, drop_conflicts(refreshed_inputs(inputs, properties, self.block), self.block)
        return identity, properties, drop_conflicts(imported_inputs(properties, self.schema.fields), self.block)

    def delete(self, state: Attributes, identity: str) -> None:
        """Delete. Raises PluginError."""
        self.backend.delete(identity, _settled(self.prior(state, identity)))

    def properties(self, attributes: Attributes) -> Attributes:
        """The properties that go into the state, with what the official plugin adds for itself."""
        shown = to_properties(attributes, self.block)
        if self.schema.version:
            shown[META] = json.dumps({"schema_version": str(self.schema.version)}, separators=(",", ":"))
        if not has_unknowns(attributes):
            shown[RAW_DELTA] = raw_state_delta(attributes, self.block)
        return shown

    def _merged(self, base: Attributes, seen: Attributes) -> Attributes:
        """What was seen wins over `base`, attribute by attribute; nulls inside objects become zero values."""
        known = {key: None if value is UNKNOWN else value for key, value in base.items()}
        merged = filled_top({**known, **seen}, self.block)
        for key, spec in self.block.items():
            if spec.is_block and merged[key] is None:
                merged[key] = []
        return sort_sets(merged, self.block)

    def _after(self, planned: Attributes, seen: Attributes, identity: str) -> Attributes:
        new = self._merged(planned, seen)
        kept = {key: keep_nulls(new[key], planned[key], spec, applied=True) for key, spec in self.block.items()}
        return {**kept, "id": identity}


def sort_sets(item: Attributes, block: Block) -> Attributes:
    """The same object with every set inside in upstream's order."""
    out = dict(item)
    for key, spec in block.items():
        value = out.get(key)
        if not isinstance(value, list):
            continue
        if spec.elem is not None:
            value = [sort_sets(inner, spec.elem) if isinstance(inner, dict) else inner for inner in value]
        out[key] = ordered(value, spec) if spec.kind == "set" else value
    return out


def _settled(value: Any) -> Any:
    """A plan as the engine gets it: what is not known is simply not asked for."""
    if isinstance(value, dict):
        return {key: _settled(inner) for key, inner in value.items() if inner is not UNKNOWN}
    if isinstance(value, list):
        return [_settled(inner) for inner in value if inner is not UNKNOWN]
    return value


def _root(path: str) -> str:
    return path.split("[", 1)[0].split(".", 1)[0]
