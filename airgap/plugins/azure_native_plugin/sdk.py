"""What the inputs of a resource type are, read from the source of the installed SDK.

Read, not imported: importing takes a second that every preview would wait for, and the generated source says it all.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path

PACKAGE = "pulumi_azure_native"
_END = re.compile(r"^\S", re.MULTILINE)


class Kind(StrEnum):
    """The type of one value, as an error names it."""

    STRING = "a string"
    BOOL = "a boolean"
    NUMBER = "a number"
    LIST = "a list"
    MAP = "a map"
    OBJECT = "an object"
    ANY = "anything"


@dataclass(frozen=True)
class Shape:
    """A value's type. ``item``: of a list's or map's elements. ``fields``: of an object, by the name in Pulumi."""

    kind: Kind
    required: bool = True
    item: Shape | None = None
    fields: dict[str, Shape] = field(default_factory=dict)


_SIMPLE = {"str": Kind.STRING, "bool": Kind.BOOL, "int": Kind.NUMBER, "float": Kind.NUMBER, "Any": Kind.ANY}


@cache
def folder() -> Path:
    """Where the SDK is installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the Python package '{PACKAGE}' is not installed next to this plugin; run `make dev`")
    return Path(next(iter(spec.submodule_search_locations)))


def version() -> str:
    """The official plugin's version, which the SDK names."""
    return str(json.loads((folder() / "pulumi-plugin.json").read_text())["version"])


@cache
def inputs(token: str) -> dict[str, Shape]:
    """The inputs of a type such as ``azure-native:storage:BlobContainer``."""
    _, module, name = token.split(":")
    file = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() + ".py"
    return _fields(_source(folder() / module / file), f"{name}Args", folder() / module / "_inputs.py")


@cache
def _source(path: Path) -> str:
    return path.read_text()


def _fields(source: str, name: str, nested: Path) -> dict[str, Shape]:
    """The properties of one generated class: a getter names each, and its annotation says the type."""
    start = source.index(f"\nclass {name}:\n") + 1
    end = _END.search(source, start + 1)
    (definition,) = ast.parse(source[start : end.start() if end else None]).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, Shape] = {}
    for function in definition.body:
        if not isinstance(function, ast.FunctionDef) or function.returns is None:
            continue
        for decorator in function.decorator_list:
            if (given := _getter(decorator)) is not None:
                found[given or function.name] = _shape(function.returns, nested)
    return found


def _getter(decorator: ast.expr) -> str | None:
    """The name in ``@pulumi.getter(name="accountName")``; empty without one; None for another decorator."""
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    if not isinstance(call, ast.Attribute) or call.attr != "getter":
        return None
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    return next((str(word.value.value) for word in keywords if isinstance(word.value, ast.Constant)), "")


def _shape(node: ast.expr, nested: Path) -> Shape:
    if isinstance(node, ast.Constant):  # 'SkuArgs', or an enumeration
        name = str(node.value)
        return Shape(Kind.OBJECT, fields=_fields(_source(nested), name, nested)) if _is_object(name) else _TEXT
    if not isinstance(node, ast.Subscript):
        return Shape(_SIMPLE.get(_name(node), Kind.ANY))
    outer, inner = _name(node.value), node.slice
    if outer == "Input":
        return _shape(inner, nested)
    if outer == "Optional":
        shape = _shape(inner, nested)
        return Shape(shape.kind, False, shape.item, shape.fields)
    if outer == "Sequence":
        return Shape(Kind.LIST, item=_shape(inner, nested))
    if outer == "Mapping" and isinstance(inner, ast.Tuple):
        return Shape(Kind.MAP, item=_shape(inner.elts[1], nested))
    # Union[str, 'Kind'] is an enumeration that may grow; any other union is left to the official plugin.
    members = inner.elts if isinstance(inner, ast.Tuple) else []
    texts = all(_shape(member, nested) == _TEXT for member in members if not _is_nested(member))
    return _TEXT if members and texts and not any(map(_is_nested, members)) else Shape(Kind.ANY)


_TEXT = Shape(Kind.STRING)


def _is_object(name: str) -> bool:
    return name.endswith("Args")


def _is_nested(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and _is_object(str(node.value))


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
