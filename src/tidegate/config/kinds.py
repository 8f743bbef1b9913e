"""Finds the type of a dotted key in the declarations of the settings."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Literal, cast

import msgspec

from tidegate.config.settings import Settings

MAX_INDEX_DIGITS = 6
"""No list has a million entries, and Python refuses to read numbers of any length."""


def kind_of(key: Sequence[str], values: object) -> Any:
    """The declared type at `key`, or None if there is no such key.

    `values` are the plain values so far, since the keys of an entry of `models` depend on its `provider`.
    """
    kind: Any = Settings
    for part in key:
        kind = _child(kind, part, values)
        if kind is None:
            return None
        values = value_in(values, part)
    return kind


def is_structured(kind: Any) -> bool:
    """Whether a value of this type is a list or a table."""
    bare = _bare(kind)
    return typing.get_origin(bare) in (tuple, UnionType) or _is_struct(bare)


def key_names(kind: Any, value: object) -> tuple[str, ...]:
    """The keys that a table of this type may have."""
    struct = _struct(kind, value)
    if struct is None:
        return ()
    names = tuple(field.encode_name for field in msgspec.structs.fields(struct))
    return ("provider", *names) if typing.get_origin(_bare(kind)) is UnionType else names


def choices(kind: Any) -> tuple[str, ...]:
    """The values that a key of this type may have, if the type lists them."""
    bare = _bare(kind)
    if typing.get_origin(bare) is Literal:
        return typing.get_args(bare)
    return tuple(_tag(member) for member in typing.get_args(bare)) if typing.get_origin(bare) is UnionType else ()


def is_index(part: str) -> bool:
    """Whether a part of a key is the index of a list's entry."""
    return part.isdecimal() and len(part) <= MAX_INDEX_DIGITS


def _child(kind: Any, part: str, value: object) -> Any:
    if typing.get_origin(_bare(kind)) is tuple:
        return typing.get_args(_bare(kind))[0] if is_index(part) else None
    if typing.get_origin(_bare(kind)) is UnionType and (part == "provider" or _struct(kind, value) is None):
        return str
    struct = _struct(kind, value)
    if struct is None:
        return None
    return next((field.type for field in msgspec.structs.fields(struct) if field.encode_name == part), None)


def _struct(kind: Any, value: object) -> type[msgspec.Struct] | None:
    bare = _bare(kind)
    if typing.get_origin(bare) is UnionType:
        provider = value_in(value, "provider")
        return next((member for member in typing.get_args(bare) if _tag(member) == provider), None)
    return bare if _is_struct(bare) else None


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _tag(struct: type[msgspec.Struct]) -> str:
    return str(struct.__struct_config__.tag)


def _bare(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def value_in(values: object, part: str) -> object:
    """The value at `part` of a table or list, or None."""
    if isinstance(values, dict):
        return cast("dict[str, object]", values).get(part)
    if isinstance(values, list) and is_index(part):
        return next(iter(cast("list[object]", values)[int(part) : int(part) + 1]), None)
    return None
