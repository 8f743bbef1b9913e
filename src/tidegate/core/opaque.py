"""JSON that is passed on unread: it is kept as bytes, and decoded only when it is asked for. Pure.

A byte of JSON may take 70 of memory once it is an object, and most of what is passed on is only for the upstream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import UNSET, UnsetType

EXACT_BYTES = 64 * 1024
"""Texts up to this size have their characters counted; longer ones are estimated: decoding takes up to 8 ms a megabyte.
"""

SAMPLE = 4096
"""Bytes that are sampled out of each `EXACT_BYTES`."""

_CONTINUED = bytes(range(0x80, 0xC0))

# A struct may be made with plain JSON values, or with their JSON as `msgspec.Raw`.
if TYPE_CHECKING:
    Opaque = Any
    OpaqueMembers = Any
else:
    Opaque = msgspec.Raw | UnsetType
    OpaqueMembers = dict[str, msgspec.Raw]


class Decoded:
    """A descriptor for a struct's `Opaque` field: its value, decoded anew on each access. Null counts as unset."""

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, owner: object | None, _: type | None = None) -> Any:
        if owner is None:
            return self
        kept = self.of(owner)
        return None if kept is None else msgspec.json.decode(kept)

    def of(self, owner: object) -> msgspec.Raw | None:
        """The field's JSON; None where it is unset."""
        kept = self._slot.__get__(owner)
        return None if kept is UNSET else kept

    def keep(self, owner: object) -> None:
        """Replaces the field's value by its JSON."""
        given = self._slot.__get__(owner)
        if given is UNSET:
            return
        kept = as_json(given)
        self._slot.__set__(owner, UNSET if begins(kept) == b"n" else kept)


class Members(Mapping[str, Any]):
    """The members of a JSON object, each decoded on access; `raw` has their JSON."""

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[str, msgspec.Raw]) -> None:
        self.raw = raw

    def __getitem__(self, name: str) -> Any:
        return msgspec.json.decode(self.raw[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __contains__(self, name: object) -> bool:
        return name in self.raw

    def __repr__(self) -> str:
        return repr(dict(self))


class DecodedMembers:
    """A descriptor for a struct's `OpaqueMembers` field, which it returns as `Members`."""

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, owner: object | None, _: type | None = None) -> Any:
        return self if owner is None else Members(self._slot.__get__(owner))

    def keep(self, owner: object) -> None:
        """Replaces the values of the field's members by their JSON."""
        given = cast("Mapping[str, Any]", self._slot.__get__(owner))
        if not all(isinstance(value, msgspec.Raw) for value in given.values()):
            self._slot.__set__(owner, {name: as_json(value) for name, value in given.items()})


def as_json(value: object) -> msgspec.Raw:
    """The value's JSON; one that is `msgspec.Raw` is JSON already."""
    return value if isinstance(value, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(value))


def begins(kept: msgspec.Raw) -> bytes:
    """The first byte of the JSON, which tells the kind of value."""
    return bytes(memoryview(kept)[:1])


def characters(text: msgspec.Raw) -> int:
    """How many characters the JSON of a string has, or about how many: a long one is estimated by samples."""
    size = len(text)
    if size <= EXACT_BYTES:
        return len(msgspec.json.decode(text, type=str))
    view = memoryview(text)
    sample = b"".join(view[start : start + SAMPLE] for start in range(0, size, EXACT_BYTES))
    continued = len(sample) - len(sample.translate(None, _CONTINUED))
    escapes, codes = sample.count(b"\\"), sample.count(b"\\u")
    return size * max(1, len(sample) - continued - escapes - 4 * codes) // len(sample)
