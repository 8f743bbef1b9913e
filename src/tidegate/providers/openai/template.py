"""A chunk that differs from the one before it in its text only, read without parsing it. Pure.

A model's chunks are the same bytes but for the text between them. Where they are, the text is cut out.
"""

from __future__ import annotations

from collections.abc import Callable

MARK = "\x7f"
"""Stands for the text when a template is tried; no model says it."""

MOST_MISSES = 8
"""Templates that were made and fitted nothing: a server with something new in every chunk gets no more of them."""


class Template:
    """`text_of` is what a chunk that stands before and behind like the last one says, and nothing else."""

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._fitted = True
        self._misses = 0

    def text_of(self, data: bytes) -> str | None:
        """The text, or None where the chunk has to be parsed."""
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
        """Takes a chunk that was parsed and brought this text; `says` tells what another one like it would bring."""
        if self._before and data.startswith(self._before) and data.endswith(self._after):
            return
        before, found, after = data.partition(b'"%b"' % text.encode())
        # The text may stand elsewhere, too: where it is in the way, there is no template.
        if not found or self._misses >= MOST_MISSES or says(before + b'"%b"' % MARK.encode() + after) != MARK:
            return
        self._misses += not self._fitted
        self._before, self._after, self._fitted = before + b'"', b'"' + after, False

    def forget(self) -> None:
        """What holds for the whole answer has changed: the next chunk is parsed."""
        self._before = b""
