"""Makes text of what was typed, or came through a pipe. Pure."""

from __future__ import annotations


def sendable(text: str) -> str:
    """The text, with question marks for what is no character: bytes of another encoding, which JSON cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")
