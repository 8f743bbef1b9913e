"""The native dialect of topics: what is published, and where a subscription begins."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tidegate.core.cursor import Cursor
from tidegate.core.cursor import parse as parse_cursor
from tidegate.core.json_text import MAX_DEPTH
from tidegate.dialects.body import parse_body

Place = Cursor | Literal["earliest", "latest"]


class Publish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message. `data` is any JSON."""

    data: msgspec.Raw
    type: Annotated[str, Meta(description="The event's name.")] = "message"
    state: Annotated[bool, Meta(description="It replaces what those who come later get as the current state.")] = False


class Published(msgspec.Struct, frozen=True):
    """The position of what was published."""

    cursor: str


class Present(msgspec.Struct, frozen=True):
    """One principal that is subscribed, and over how many connections."""

    principal: str
    connections: int


_publish = msgspec.json.Decoder(Publish)


def parse(body: bytes) -> Publish:
    """The message in a body. Raises `InvalidJson`, `UnknownField` or `InvalidValue`."""
    # What is published may be as deep as any body, and stands in one.
    return parse_body(_publish, body, depth=MAX_DEPTH + 1)


def parse_place(text: str | None, *, param: str = "after") -> Place:
    """Where to begin: a cursor, `earliest`, or `latest`, which is also the default. Raises `MalformedCursor`."""
    if text is None or text == "latest":
        return "latest"
    return "earliest" if text == "earliest" else parse_cursor(text, param=param)


def digest_of(type: str, state: bool, data: object) -> bytes:
    """What tells one message from another, however its JSON was written; the same over every transport."""
    return msgspec.json.encode([type, state, data], order="deterministic")
