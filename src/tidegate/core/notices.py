"""What a reader is told that is not in the log."""

from __future__ import annotations

import msgspec

from tidegate.core.cursor import Cursor


class Gap(msgspec.Struct, frozen=True, gc=False):
    """What was asked for after `asked` is not kept; what follows is after `to`."""

    asked: Cursor
    to: Cursor


class Reconnect(msgspec.Struct, frozen=True, gc=False):
    """The server asks the reader to come back, after so many milliseconds."""

    after_ms: int
    reason: str
