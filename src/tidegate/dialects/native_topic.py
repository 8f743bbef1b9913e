"""The native dialect of topics: published messages, and where a subscription begins."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tidegate.core.cursor import Cursor
from tidegate.core.cursor import parse as parse_cursor
from tidegate.core.json_text import MAX_DEPTH, MAX_VALUES
from tidegate.core.steps import Steps
from tidegate.core.topic import json_data
from tidegate.dialects.fields import fields_of
from tidegate.dialects.identity import identity

StartingPoint = Cursor | Literal["earliest", "latest"]


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of a message besides its data."""

    type: Annotated[str, Meta(description="The event's name.")] = "message"
    state: Annotated[bool, Meta(description="It replaces what those who come later get as the current state.")] = False


class Publish(Said, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message. `data` is any JSON."""

    data: msgspec.Raw


class Published(msgspec.Struct, frozen=True):
    """The position of the published message."""

    cursor: str


class Present(msgspec.Struct, frozen=True):
    """One subscribed principal, and its number of connections."""

    principal: str
    connections: int


_said = msgspec.json.Decoder(Said)


def parse(body: bytes) -> Steps[Publish]:
    """The message in a body, its data as topics keep it. Raises `InvalidJson`, `UnknownField` or `InvalidValue`."""
    # The data may be as deep as any body, and is one level inside this one.
    fields = yield from fields_of(body, depth=MAX_DEPTH + 1, values=MAX_VALUES)
    said = yield from fields.read(_said, ("data",))
    data = yield from json_data(fields.required("data"))
    return Publish(data=data, type=said.type, state=said.state)


def parse_place(text: str | None, *, param: str = "after") -> StartingPoint:
    """Where to begin: a cursor, `earliest`, or `latest`, which is also the default. Raises `MalformedCursor`."""
    if text is None or text == "latest":
        return "latest"
    return "earliest" if text == "earliest" else parse_cursor(text, param=param)


def identity_of(type: str, state: bool, data: msgspec.Raw) -> Steps[bytes]:
    """The digest of a message, independent of how its JSON was written and of the transport."""
    return identity([type, state, data])
