"""Puts together characters whose halves come apart: models write text in pieces that may end within one. Pure."""

from __future__ import annotations

from tidegate.client.words import joined


class Characters:
    """Takes text in pieces, and hands on no half of a surrogate pair whose other half may still come."""

    def __init__(self) -> None:
        self._half = ""

    def take(self, piece: str) -> str:
        """The piece, after the half that waited, and without the one that now waits."""
        text = joined((self._half, piece))
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return text[:-1] if self._half else text

    def rest(self) -> str:
        """The half that waited, if there is one: it stays alone."""
        half, self._half = self._half, ""
        return half
