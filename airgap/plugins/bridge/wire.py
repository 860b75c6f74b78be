"""Pulumi's wire format: property values inside `google.protobuf.Struct`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google.protobuf import struct_pb2

from .schema import UNKNOWN, Unknown

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_MARK = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - not a secret: the mark of one
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
REFERENCE = "5cf8f73096256a8f31e491e813e4eb8e"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWNS = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


@dataclass(frozen=True)
class Secret:
    """A value that the engine must encrypt in the state and hide in its output."""

    value: Any


@dataclass(frozen=True)
class Asset:
    """A file, an archive or a resource, as the engine sent it (`signature` says which)."""

    signature: str
    content: dict[str, Any] = field(default_factory=dict)


def decode(struct: struct_pb2.Struct, *, keep_secrets: bool = False) -> dict[str, Any]:
    """The properties of a request. Secrets are unwrapped unless asked for; unknowns become `UNKNOWN`."""
    return {key: _decode(value, keep_secrets) for key, value in struct.fields.items()}


def _decode(value: struct_pb2.Value, keep: bool) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in UNKNOWNS else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item, keep) for item in value.list_value.values]
    if kind == "struct_value":
        return _decode_object(value.struct_value, keep)
    return None


def _decode_object(struct: struct_pb2.Struct, keep: bool) -> Any:
    content = {key: _decode(value, keep) for key, value in struct.fields.items()}
    signature = content.get(SIGNATURE)
    if signature is None:
        return content
    if signature == SECRET_MARK:
        return Secret(content.get("value")) if keep else content.get("value")
    if signature == OUTPUT:
        inner = content.get("value", UNKNOWN)
        return Secret(inner) if keep and content.get("secret") is True else inner
    if signature == REFERENCE and not keep:
        return content.get("id") or content.get("urn")
    if signature in (ASSET, ARCHIVE, REFERENCE):
        return Asset(str(signature), content)
    return content


def encode(properties: dict[str, Any]) -> struct_pb2.Struct:
    """The properties of a response."""
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        _encode(value, struct.fields[key])
    return struct


def _encode(value: Any, into: struct_pb2.Value) -> None:
    if isinstance(value, Secret | Asset):
        value = value.content if isinstance(value, Asset) else {SIGNATURE: SECRET_MARK, "value": value.value}
    if value is None or isinstance(value, bool | int | float | str | Unknown):
        _encode_scalar(value, into)
    elif isinstance(value, list):
        into.list_value.SetInParent()
        for item in value:
            _encode(item, into.list_value.values.add())
    elif isinstance(value, dict):
        into.struct_value.SetInParent()
        for key, item in value.items():
            _encode(item, into.struct_value.fields[key])
    else:
        raise TypeError(f"cannot send a {type(value).__name__} to the engine")


def _encode_scalar(value: float | str | Unknown | None, into: struct_pb2.Value) -> None:
    if value is None:
        into.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, int | float):
        into.number_value = value
    else:
        into.string_value = UNKNOWN_STRING if isinstance(value, Unknown) else value


def reveal(value: Any) -> Any:
    """The same value without secret markers."""
    if isinstance(value, Secret):
        return reveal(value.value)
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def has_unknowns(value: Any) -> bool:
    """Whether any part of the value is not known yet."""
    if isinstance(value, Unknown):
        return True
    if isinstance(value, Secret):
        return has_unknowns(value.value)
    if isinstance(value, dict):
        return any(has_unknowns(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknowns(item) for item in value)
    return False
