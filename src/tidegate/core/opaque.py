"""JSON that is passed on and not read: kept as its bytes, and made into objects when somebody asks for them. Pure.

A byte of JSON may take 70 of memory once it is an object, and what an upstream is told is none of our business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import UNSET, UnsetType

EXACT_BYTES = 64 * 1024
"""Up to which a text's characters are counted; more of them are estimated, for decoding takes up to 8 ms a megabyte."""

SAMPLE = 4096
"""Bytes out of so many."""

_CONTINUED = bytes(range(0x80, 0xC0))

# Whoever makes a struct gives JSON's own values, or their JSON as it is.
if TYPE_CHECKING:
    Opaque = Any
    OpaqueMembers = Any
else:
    Opaque = msgspec.Raw | UnsetType
    OpaqueMembers = dict[str, msgspec.Raw]


class Decoded:
    """The value of a struct's `Opaque` field, decoded anew whenever it is asked for. Null is left out."""

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, owner: object | None, _: type | None = None) -> Any:
        if owner is None:
            return self
        kept = self.of(owner)
        return None if kept is None else msgspec.json.decode(kept)

    def of(self, owner: object) -> msgspec.Raw | None:
        """Its JSON."""
        kept = self._slot.__get__(owner)
        return None if kept is UNSET else kept

    def keep(self, owner: object) -> None:
        """Keeps what the field was given as JSON."""
        given = self._slot.__get__(owner)
        if given is UNSET:
            return
        kept = as_json(given)
        self._slot.__set__(owner, UNSET if begins(kept) == b"n" else kept)


class Members(Mapping[str, Any]):
    """Of an object, each decoded when it is asked for; `raw` has them as they are kept."""

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
    """The same for a field of `OpaqueMembers`."""

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, owner: object | None, _: type | None = None) -> Any:
        return self if owner is None else Members(self._slot.__get__(owner))

    def keep(self, owner: object) -> None:
        """Keeps the members that the field was given as JSON."""
        given = cast("Mapping[str, Any]", self._slot.__get__(owner))
        if not all(isinstance(value, msgspec.Raw) for value in given.values()):
            self._slot.__set__(owner, {name: as_json(value) for name, value in given.items()})


def as_json(value: object) -> msgspec.Raw:
    """What is kept of a value."""
    return value if isinstance(value, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(value))


def begins(kept: msgspec.Raw) -> bytes:
    """The first byte, which tells what kind of value it is."""
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
