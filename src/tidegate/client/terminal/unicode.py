"""Makes text of what was typed, came through a pipe, or was written by a model. Pure."""

from __future__ import annotations


def sendable(text: str) -> str:
    """The text, with question marks for what JSON cannot carry: bytes of another encoding, half a character."""
    return text.encode("utf-8", "replace").decode("utf-8")
