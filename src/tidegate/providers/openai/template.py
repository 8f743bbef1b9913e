"""Reads chunks that differ from an earlier one only in their text, without parsing them. Pure.

A model's chunks are mostly the same bytes around a varying text. Where they are, the text's JSON is sliced out, and
goes into the log as it is. Anything that is not certain is left to the parser.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tidegate.core.events import PLAIN_DELTA

MARK = "\x7f"
"""Stands for the text when a template is tested; no model generates it."""

MOST_MISSES = 8
"""How many templates may be made in vain: a server with something new in every chunk gets no more of them."""

BEFORE_DATA = b"data: "
AFTER_DATA = b"\n\n"
"""What stands around the data of an event, as nearly all servers write it."""

_string = msgspec.json.Decoder(str)


class Template:
    """The bytes of an event before and after its text, from a learned chunk.

    `usable` is set by the reader of the chunks where its state lets whole reads be sliced; `pieces` counts the texts.
    """

    __slots__ = ("_after", "_before", "_fitted", "_misses", "pieces", "usable")

    def __init__(self) -> None:
        self.usable = False
        self.pieces = 0
        self._before = self._after = b""
        self._fitted = True
        self._misses = 0

    def deltas(self, read: bytes) -> list[bytes] | None:
        """The JSON forms of the deltas in a read that has whole events alone, each like the learned one.

        None where the read has, or may have, anything else, an empty text too: then it has to be parsed, which would
        find the same events.
        """
        before, after = self._before, self._after
        if not self.usable or not read.startswith(before) or not read.endswith(after):
            return None
        text = read[len(before) : -len(after)]
        # Printable UTF-8 without quotes and backslashes is its own JSON; what is no UTF-8 becomes surrogates, which are
        # not printable.
        if not text or b'"' in text or b"\\" in text or not text.decode("utf-8", "surrogateescape").isprintable():
            return self._deltas(text)
        self._fitted = True
        self.pieces += 1
        return [PLAIN_DELTA % text]

    def text_of(self, data: bytes) -> str | None:
        """The text of the data of one event, e.g. of a read that was cut; None where it has to be parsed."""
        before, after = self._before[len(BEFORE_DATA) :], self._after[: -len(AFTER_DATA)]
        if not before or not data.startswith(before) or not data.endswith(after):
            return None
        try:
            text = _string.decode(b'"%b"' % data[len(before) : -len(after)])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        self._fitted = True
        return text

    def learn(self, data: bytes, text: str, says: Callable[[bytes], str | None]) -> None:
        """Learns from the data of an event that was parsed to this text; `says` parses a test chunk to its text."""
        if self.text_of(data) is not None:
            return
        before, found, after = data.partition(b'"%b"' % text.encode())
        # The same text may occur elsewhere in the chunk: no template is made if the test shows that.
        if not found or self._misses >= MOST_MISSES or says(before + b'"%b"' % MARK.encode() + after) != MARK:
            return
        if b"\n" not in data and b"\r" not in data:
            self._misses += not self._fitted
            self._before, self._after = BEFORE_DATA + before + b'"', b'"' + after + AFTER_DATA
            self._fitted = False

    def forget(self) -> None:
        """Drops the template, since fields of the whole answer have changed: the next chunk is parsed."""
        self._before = self._after = b""

    @property
    def known(self) -> bool:
        """Whether a chunk has been learned."""
        return bool(self._before)

    def _deltas(self, texts: bytes) -> list[bytes] | None:
        """The deltas of several texts with what stands between them, or of one with escapes."""
        found: list[bytes] = []
        for text in texts.split(self._after + self._before):
            if (plain := canonical(text)) is None:
                return None
            found.append(PLAIN_DELTA % plain)
        self._fitted = True
        self.pieces += len(found)
        return found


def canonical(text: bytes) -> bytes | None:
    """What `core.events.encode` writes between the quotes for a text that stands between quotes here.

    None where this is not the inside of one whole JSON string, or empty.
    """
    try:
        return msgspec.json.encode(_string.decode(b'"%b"' % text))[1:-1] or None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
