"""Digests of requests, independent of how their JSON was written: an idempotency key is kept with its body's digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET

from tidegate.core.steps import Steps, digest

READ_BYTES = 64 * 1024
"""Parts that are only passed on are normalised up to this size; in a longer one the order of members counts, too."""


def identity(wanted: object) -> Steps[bytes]:
    """The SHA-256 of a request: of a struct, or of a list of values."""
    plain = yield from _plain(wanted)
    return (yield from digest(msgspec.json.encode(plain, order="deterministic")))


def _plain(value: Any) -> Steps[Any]:
    """The value made of plain JSON values, in which equal parts are written alike."""
    if isinstance(value, msgspec.Raw):
        yield
        return _rewritten(value)
    if isinstance(value, msgspec.Struct):
        return (yield from _members(_fields_of(value)))
    if isinstance(value, dict):
        return (yield from _members(cast("Mapping[str, Any]", value)))
    if isinstance(value, list | tuple):
        return (yield from _elements(cast("Sequence[Any]", value)))
    return value


def _elements(elements: Sequence[Any]) -> Steps[list[Any]]:
    found: list[Any] = [None] * len(elements)
    for index, value in enumerate(elements):
        found[index] = yield from _plain(value)
    return found


def _members(members: Mapping[str, Any]) -> Steps[dict[str, Any]]:
    found: dict[str, Any] = {}
    for name, value in members.items():
        found[name] = yield from _plain(value)
    return found


def _fields_of(value: msgspec.Struct) -> Mapping[str, Any]:
    """The fields that are encoded. A field that is left out counts as null."""
    fields = msgspec.structs.asdict(value)
    left_out = value.__struct_config__.omit_defaults
    plain = {name: None if each is UNSET else each for name, each in fields.items()}
    return {name: each for name, each in plain.items() if each is not None} if left_out else plain


def _rewritten(part: msgspec.Raw) -> msgspec.Raw:
    if len(part) > READ_BYTES:
        return msgspec.Raw(msgspec.json.format(part, indent=-1))
    return msgspec.Raw(msgspec.json.encode(msgspec.json.decode(part), order="deterministic"))
