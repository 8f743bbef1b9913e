"""The error of a client that has tried for long enough. Servers never answer with it."""

from __future__ import annotations

from tidegate.errors import TidegateError


class Offline(TidegateError):
    """There was no answer, or no lasting one, in all attempts; the cause says why.

    `cursor` is the position from which a stream goes on, empty where there is none.
    """

    type = "unavailable_error"
    code = "offline"

    def __init__(self, message: str, *, cursor: str = "") -> None:
        super().__init__(message)
        self.cursor = cursor
