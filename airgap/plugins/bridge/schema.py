"""A resource's schema: the facts about each property that decide defaults, checks, plans and names.

The keys of a `Block` are the snake_case attribute names of the upstream provider that the official plugin wraps;
`pulumi_name` gives the name that programs use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, TypeAlias


class Kind(StrEnum):
    """The type of one attribute."""

    STRING = "string"
    BOOL = "bool"
    INT = "int"
    LIST = "list"
    SET = "set"
    MAP = "map"


class Unknown:
    """The value of something that is known only after another resource has been created."""

    _only: Unknown | None = None

    def __new__(cls) -> Unknown:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: object) -> Unknown:
        return self


UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute. A list or set whose `elem` is a block holds objects; otherwise strings (as all maps do).

    `check` answers what is wrong with a value, or None. `same` says that two different values mean the same.
    `plural` is the Pulumi name where it is not simply the camelCase of the key.
    """

    kind: Kind
    elem: Block | None = None
    required: bool = False
    optional: bool = False
    computed: bool = False
    force_new: bool = False
    default: Any = None
    sensitive: bool = False
    max_one: bool = False
    auto_name: bool = False
    deprecated: bool = False
    plural: str = ""
    conflicts_with: tuple[str, ...] = ()
    exactly_one_of: tuple[str, ...] = ()
    check: Callable[[Any], str | None] | None = None
    same: Callable[[str, str], bool] | None = None
    doc: str = ""

    @property
    def is_collection(self) -> bool:
        return self.kind in (Kind.LIST, Kind.SET, Kind.MAP)

    @property
    def is_block(self) -> bool:
        """Whether the values are objects; such a list or set is never null, only empty."""
        return self.elem is not None


Block: TypeAlias = Mapping[str, Field]


@dataclass(frozen=True)
class ResourceSchema:
    """One resource type. `version` is the upstream schema version, written into `__meta` unless it is 0."""

    token: str
    fields: Block
    version: int = 0
    importable: bool = True
    with_id: Block = field(init=False)

    def __post_init__(self) -> None:
        identity = {"id": Field(Kind.STRING, optional=True, computed=True)}
        object.__setattr__(self, "with_id", {**self.fields, **identity})


@cache  # asked for every attribute of every plan, about a few hundred keys
def camel(key: str) -> str:
    """`stop_grace_period` -> `stopGracePeriod`."""
    head, *rest = key.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


@cache
def snake(name: str) -> str:
    """`stopGracePeriod` -> `stop_grace_period`: the guess that needs no schema."""
    return "".join(f"_{char.lower()}" if char.isupper() and at else char.lower() for at, char in enumerate(name))


def pulumi_name(key: str, spec: Field | None) -> str:
    """The name of attribute `key` in a Pulumi program."""
    return spec.plural if spec and spec.plural else camel(key)


def key_of(name: str, block: Block) -> str:
    """The attribute behind a Pulumi name; unknown names get the guess, and are refused by the check later."""
    guess = snake(name)
    if guess in block and pulumi_name(guess, block[guess]) == name:
        return guess
    return next((key for key, spec in block.items() if pulumi_name(key, spec) == name), guess)


def zero(spec: Field) -> Any:
    """What an attribute holds that nobody set, inside an object that exists."""
    if spec.kind is Kind.MAP:
        return {}
    if spec.is_collection:
        return []
    return {Kind.STRING: "", Kind.BOOL: False, Kind.INT: 0}[spec.kind]
