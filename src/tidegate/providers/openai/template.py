"""Reads chunks that differ from an earlier one only in their text, without parsing them. Pure.

A model's chunks are mostly the same bytes around a varying text. Where they are, the text's JSON is cut out and goes
into the log as it is. Anything that is not certain is left to the parser.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tidegate.core.events import delta_json

MARK = "\x7f"
"""Stands for the text when a template is tested; no model generates it."""

MOST_MISSES = 8
"""How many templates may be made in vain: a server with something new in every chunk gets no more of them."""

FIELD = b"data: "
END = b"\n\n"
"""What stands around the data of an event, as nearly all servers write it."""

_string = msgspec.json.Decoder(str)


class Template:
    """The bytes of an event before and after the JSON of its text, from a learned chunk."""

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._between = b""
        self._fitted = True
        self._misses = 0

    def deltas(self, read: bytes) -> list[bytes] | None:
        """The JSON forms of the deltas in a read that has whole events alone, each like the learned one.

        None where the read has, or may have, anything else, an empty text too.
        """
        before, after = self._before, self._after
        if not before or not read.startswith(before) or not read.endswith(after):
            return None
        found: list[bytes] = []
        for text in read[len(before) : -len(after)].split(self._between):
            if (json := canonical(text)) is None:
                return None
            found.append(delta_json(json))
        self._fitted = True
        return found

    def learn(self, data: bytes, text: str, says: Callable[[bytes], str | None]) -> None:
        """Learns from the data of an event that was parsed to this text; `says` parses a test chunk to its text."""
        if self._before and data.startswith(self._before[len(FIELD) :]) and data.endswith(self._after[: -len(END)]):
            return
        before, found, after = data.partition(b'"%b"' % text.encode())
        # The same text may occur elsewhere in the chunk: no template is made if the test shows that.
        if not found or self._misses >= MOST_MISSES or says(before + b'"%b"' % MARK.encode() + after) != MARK:
            return
        if b"\n" in data or b"\r" in data:
            return
        self._misses += not self._fitted
        self._before, self._after, self._fitted = FIELD + before, after + END, False
        self._between = self._after + self._before

    def forget(self) -> None:
        """Drops the template, since fields of the whole answer have changed: the next chunk is parsed."""
        self._before = b""


def canonical(text: bytes) -> bytes | None:
    """The JSON of a text as `core.events.encode` writes it; None where this is not one whole JSON string, or empty."""
    if len(text) < 3 or text[:1] != b'"':
        return None
    try:
        # Without escapes, quotes and what is not printable, the JSON is written in one way only.
        if text.find(b'"', 1) == len(text) - 1 and b"\\" not in text and text.decode().isprintable():
            return text
        return msgspec.json.encode(_string.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
