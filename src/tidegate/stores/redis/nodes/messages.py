"""What nodes tell each other: JSON, so that nodes of neighbouring versions understand what both know."""

from __future__ import annotations

import logging

import msgspec

from tidegate.stores.cluster import Command, Count

logger = logging.getLogger("tidegate.stores")


class Changed(msgspec.Struct, frozen=True, tag=True):
    """There are other nodes than before, or other orphans: whoever hears it looks for itself."""


class Lost(msgspec.Struct, frozen=True, tag=True):
    """The node's hold with this number is over: another one holds the stream."""

    node: str
    stream: str
    number: int


class Told(msgspec.Struct, frozen=True, tag=True):
    """A command for all others. `number` grows with each one of a sender."""

    sender: str
    number: int
    command: Command


class Counted(msgspec.Struct, frozen=True, tag=True):
    """The sender's new parts of counts: what is counted, key, member, and the number there is now.

    `sequence` is one more than that of the sender's message before.
    """

    sender: str
    sequence: int
    parts: list[tuple[Count, str, str, int]]


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A question to all others."""

    sender: str
    number: int
    question: bytes


class Answered(msgspec.Struct, frozen=True, tag=True):
    """One node's answer to the question with this number; None where it has none."""

    sender: str
    number: int
    said: bytes | None


Message = Changed | Lost | Told | Counted | Asked | Answered

encode = msgspec.json.Encoder().encode

_decode = msgspec.json.Decoder(Message).decode


def decode(message: bytes) -> Message | None:
    """Reads a message; None where this version does not know it."""
    try:
        return _decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        logger.debug("a message of another node is not understood: %s", error)
        return None
