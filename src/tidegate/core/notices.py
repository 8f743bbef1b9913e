"""Notices: what a reader is sent that is not in the log."""

from __future__ import annotations

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.errors import Interrupted, TidegateError, TokenExpired

# The reasons why a reader is asked to reconnect.
AGE = "age"
CAPACITY = "capacity"
DRAINING = "draining"
TOKEN_EXPIRED = "token_expired"


class Gap(msgspec.Struct, frozen=True, gc=False):
    """The events after `asked` are not kept; the reader continues after `to`."""

    asked: Cursor
    to: Cursor


class Reconnect(msgspec.Struct, frozen=True, gc=False):
    """The server asks the reader to reconnect, after so many milliseconds."""

    after_ms: int
    reason: str


class Subscribed(msgspec.Struct, frozen=True, gc=False):
    """A subscription begins here; `state` is the topic's current state, as JSON."""

    at: Cursor
    state: bytes = b"null"


class Presence(msgspec.Struct, frozen=True, gc=False):
    """The principals that have joined a topic, and those that have left it."""

    joined: tuple[str, ...]
    left: tuple[str, ...]


Notice = Gap | Reconnect | Subscribed | Presence


def sent_away(notice: Reconnect) -> TidegateError:
    """The error that a client which cannot come back to its stream is sent instead of the notice."""
    if notice.reason == TOKEN_EXPIRED:
        return TokenExpired("the credentials expired before the answer was complete")
    return Interrupted("the server stopped before the answer was complete")
