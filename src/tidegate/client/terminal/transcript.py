"""The text of a stream, as it was shown so far. Pure."""

from __future__ import annotations


class Transcript:
    """Text that grows, and that the server may replace as a whole where it no longer has the pieces."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def add(self, piece: str) -> None:
        """Adds what came next."""
        self._pieces.append(piece)

    def replace(self, whole: str) -> tuple[bool, str]:
        """Takes the whole in place of what there was: whether it only continues that, and what is left to be shown."""
        before, self._pieces = self.text, [whole]
        continues = whole.startswith(before)
        return continues, whole[len(before) :] if continues else whole
