"""Splits a JSON object into its members, each as bytes: some are read, the others are only passed on.

Members that are read are small, and decoded at once; members that are passed on may be as long as the body, and are
never decoded into objects.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TypeVar

import msgspec

from tidegate.core.json_shape import Shape, scan
from tidegate.core.json_text import MAX_DEPTH, MAX_VALUES, MAX_VALUES_IN_ALL
from tidegate.core.opaque import begins
from tidegate.core.steps import Steps
from tidegate.dialects.body import check_values, decode, measure, shortened
from tidegate.errors import InvalidValue

T = TypeVar("T")

MAX_READ = 1024 * 1024
"""The most bytes of all members that are read; they are numbers, names and short texts."""

KINDS = {b'"': "str", b"[": "array", b"{": "object", b"n": "null", b"t": "bool", b"f": "bool"}
"""The kinds of values, by their first byte; all others are numbers."""

_members: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


class Fields:
    """The members of a body. If it has more values than may be decoded, the values of each decoded part are counted."""

    def __init__(self, members: dict[str, msgspec.Raw], shape: Shape, size: int) -> None:
        self.members = members
        self._size = size
        self._vast = shape.vast
        self._is_dense = shape.values > MAX_VALUES
        self._counted = 0

    def get(self, name: str) -> msgspec.Raw | None:
        """The member's JSON; None if it is null or missing."""
        found = self.members.get(name)
        return None if found is None or begins(found) == b"n" else found

    def required(self, name: str) -> msgspec.Raw:
        """The member's JSON. Raises `InvalidValue` if it is missing."""
        if name not in self.members:
            raise InvalidValue(f"Object missing required field `{name}`", param=name)
        return self.members[name]

    def read(self, decoder: msgspec.json.Decoder[T], opaque: Container[str]) -> Steps[T]:
        """The typed content of all members but the `opaque` ones. Raises `InvalidValue` or `UnknownField`.

        A number that no double can hold is refused wherever it stands, since the upstream could not read it.
        """
        kept = {name: value for name, value in self.members.items() if name not in opaque}
        text = msgspec.json.encode(kept)
        if len(text) > MAX_READ:
            name = shortened(max(kept, key=lambda name: len(name) + len(kept[name])))
            raise InvalidValue(f"`{name}` is longer than what is read of a body", param=name)
        if self._is_dense:
            self.count((yield from scan(text)).values)
        found = decode(decoder, text)
        if self._vast:
            raise InvalidValue("Number out of range: the body has one that no double holds")
        return found

    def count(self, values: int) -> None:
        """Counts values that will be decoded into objects. Raises `InvalidJson` if they are too many."""
        self._counted += values
        check_values(self._counted)

    def count_of(self, part: msgspec.Raw, *, depth: int = 1) -> Steps[None]:
        """Counts the values of a part that is decoded down to this depth. Raises `InvalidJson` if they are too many."""
        if self._is_dense:
            shape = yield from scan(bytes(part))
            self.count(1 + sum(1 + shape.commas(each) for each in range(1, depth + 1)))

    def members_of(self, part: msgspec.Raw, place: str) -> Steps[dict[str, msgspec.Raw]]:
        """The members of an object that is a part of the body."""
        yield from self.count_of(part)
        yield
        return decode(_members, part, place)

    def elements_of(
        self, part: msgspec.Raw, place: str, *, of: str = "", most: int = MAX_VALUES, counted: int = 1
    ) -> Steps[list[msgspec.Raw]]:
        """The elements of a list that is a part of the body, each `of` this kind; values are counted down to the depth
        `counted`."""
        yield from self.count_of(part, depth=counted)
        yield
        found = decode(_elements, part, place)
        if len(found) > most:
            raise InvalidValue(f"Expected `array` of length <= {most} at `{place}`", param=place)
        for index, each in enumerate(found if of else ()):
            check_kind(each, (of,), f"{place}.{index}")
        return found

    def own(self, part: msgspec.Raw) -> msgspec.Raw:
        """A copy of the part, unless it is most of the body, so that a small part does not keep the body in memory."""
        return part if 2 * len(part) > self._size else part.copy()


def fields_of(body: bytes, *, depth: int = MAX_DEPTH, values: int = MAX_VALUES_IN_ALL) -> Steps[Fields]:
    """The members of a body. Raises `InvalidJson`, or `InvalidValue` if the body is no object."""
    shape = yield from measure(body, depth=depth, values=values)
    check_values(shape.commas(1))
    yield
    fields = Fields(decode(_members, body), shape, len(body))
    yield
    return fields


def check_kind(value: msgspec.Raw, kinds: tuple[str, ...], place: str) -> None:
    """Raises `InvalidValue` unless the value is of one of these kinds."""
    kind = kind_of(value)
    if kind not in kinds:
        raise InvalidValue(f"Expected `{' | '.join(kinds)}`, got `{kind}` at `{place}`", param=place)


def kind_of(value: msgspec.Raw) -> str:
    """The kind of a value, named as msgspec names it."""
    return KINDS.get(begins(value), "number")
