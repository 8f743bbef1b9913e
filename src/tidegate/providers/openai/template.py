"""Reads chunks that differ from an earlier one only in their text, without parsing them. Pure.

A model's chunks are mostly the same bytes around a varying text. Where they are, the text is cut out.
"""

from __future__ import annotations

from collections.abc import Callable

MARK = "\x7f"
"""Stands for the text when a template is tested; no model generates it."""

MOST_MISSES = 8
"""How many templates may be made in vain: a server with something new in every chunk gets no more of them."""


class Template:
    """The bytes before and after the text of a learned chunk."""

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._fitted = True
        self._misses = 0

    def text_of(self, data: bytes) -> str | None:
        """The text of a chunk that fits; None where the chunk has to be parsed."""
        before, after = self._before, self._after
        if not before or not data.startswith(before) or not data.endswith(after):
            return None
        text = data[len(before) : len(data) - len(after)]
        if len(before) + len(after) > len(data) or b'"' in text or b"\\" in text:
            return None
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            return None
        self._fitted = True
        return decoded

    def learn(self, data: bytes, text: str, says: Callable[[bytes], str | None]) -> None:
        """Learns from a chunk that was parsed to this text; `says` parses the bytes of a test chunk to its text."""
        if self._before and data.startswith(self._before) and data.endswith(self._after):
            return
        before, found, after = data.partition(b'"%b"' % text.encode())
        # The same text may occur elsewhere in the chunk: no template is made if the test shows that.
        if not found or self._misses >= MOST_MISSES or says(before + b'"%b"' % MARK.encode() + after) != MARK:
            return
        self._misses += not self._fitted
        self._before, self._after, self._fitted = before + b'"', b'"' + after, False

    def forget(self) -> None:
        """Drops the template, since fields of the whole answer have changed: the next chunk is parsed."""
        self._before = b""
