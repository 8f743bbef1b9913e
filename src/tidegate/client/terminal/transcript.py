"""The text of a stream, as it was shown so far. Pure."""

from __future__ import annotations

from tidegate.client.words import joined

UTF16 = "utf-16-le"


class Transcript:
    """Text that grows, and that the server may replace as a whole where it no longer has the pieces."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return joined(self._pieces)

    def add(self, piece: str) -> None:
        """Adds what came next."""
        self._pieces.append(piece)

    def replace(self, whole: str) -> tuple[bool, str]:
        """Takes the whole in place of what there was: whether it only continues that, and what is left to be shown."""
        before, after = _units(self.text), _units(whole)
        self._pieces = [whole]
        continues = after.startswith(before)
        return continues, after[len(before) :].decode(UTF16, "surrogatepass") if continues else whole


def _units(text: str) -> bytes:
    # Of a character the first half may have come, which as a character of its own is no beginning of the whole one.
    return text.encode(UTF16, "surrogatepass")
