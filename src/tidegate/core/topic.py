"""Topics: their names and ids, and checks of the data that is published to them."""

from __future__ import annotations

import re

import msgspec

from tidegate.core.json_shape import Shape, scan
from tidegate.core.json_text import MAX_DEPTH, MAX_VALUES, fault
from tidegate.core.steps import Steps
from tidegate.errors import BodyTooLarge, InvalidValue

PREFIX = "topic:"
"""Begins the id of a topic, and never that of a stream."""

AROUND_BYTES = 256
"""Bytes of a message besides its data, its sender, and the names of its topic and type: cursor, time, and the keys."""

GROWTH = 9 / 4
"""The most by which MessagePack can be larger than JSON: `0.5,` has four bytes in JSON, and nine in MessagePack."""

SERVER_EVENTS = frozenset(
    {
        "started",
        "delta",
        "reasoning",
        "tool_call",
        "completed",
        "cancelled",
        "failed",
        "published",
        "subscribed",
        "presence",
        "gap",
        "snapshot",
        "reconnect",
        "error",
        "open",
    }
)
"""Names of events that the server itself sends or `EventSource` raises: a client must not use them."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,127}")
_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def topic_id(name: str) -> str:
    """The id under which a store knows the topic. Raises `InvalidValue` if this is no valid name."""
    if NAME.fullmatch(name) is None:
        raise InvalidValue(f"{name[:64]!r} is not a topic's name; {NAME.pattern} is", param="topic")
    return PREFIX + name


def topic_name(topic: str) -> str:
    """The name of the topic with the id."""
    return topic.removeprefix(PREFIX)


def is_topic(stream: str) -> bool:
    """Whether the id is a topic's."""
    return stream.startswith(PREFIX)


def check_type(type: str) -> None:
    """Raises `InvalidValue` unless a client may give its event this name."""
    if _TYPE.fullmatch(type) is None:
        raise InvalidValue(f"{type[:64]!r} is not an event's type; {_TYPE.pattern} is", param="type")
    if type in SERVER_EVENTS:
        raise InvalidValue(f"{type!r} is an event that only the server sends: choose another type", param="type")


def check_size(data: msgspec.Raw, around: int, most: int) -> None:
    """Raises `BodyTooLarge` where a WebSocket's message of `most` bytes cannot carry the data and `around` bytes more.

    The body of an HTTP request may be larger, but such a message would close the connection of every subscriber, again
    after each reconnect.
    """
    left = most - around - AROUND_BYTES
    size = len(bytes(data))
    if left < size * GROWTH:
        size = max(size, len(msgspec.msgpack.encode(msgspec.json.decode(data))))
    if size > left:
        raise BodyTooLarge(f"`data` is larger than a message of a topic may be: {max(left, 0)} bytes", param="data")


def json_data(text: bytes | msgspec.Raw) -> Steps[msgspec.Raw]:
    """The JSON on one line, its numbers as they were written. Raises `InvalidValue` if not everybody could read it."""
    text = bytes(text)
    try:
        shape = yield from scan(text, values=MAX_VALUES)
        _check_shape(shape)
        yield
        return msgspec.Raw(msgspec.json.format(text, indent=-1))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidValue(f"`data` is not JSON that everybody can read: {fault(error, text)}", param="data") from None


def _check_shape(shape: Shape) -> None:
    if shape.deepest > MAX_DEPTH:
        raise InvalidValue(f"`data` is nested more than {MAX_DEPTH} deep", param="data")
    if shape.values > MAX_VALUES:
        raise InvalidValue(f"`data` has more than {MAX_VALUES} values", param="data")
    if shape.vast:
        raise InvalidValue("`data` is not JSON that everybody can read: Number out of range", param="data")
