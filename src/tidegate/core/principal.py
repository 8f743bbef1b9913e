"""Principals: who is calling, and what the caller may do."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Scope = Literal["generate", "read", "cancel", "publish", "subscribe", "metrics", "admin"]
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))

OF_ADMIN: frozenset[Scope] = frozenset({"read", "cancel", "metrics"})
"""The scopes that `admin` includes: an admin of everybody's streams has to see and to stop them, and to measure."""


OF_OPERATORS: frozenset[Scope] = frozenset({"metrics", "admin"})
"""The scopes that show more than what is one's own: nobody gets them without being asked for."""

LONGEST_SECONDS = 366 * 86400.0
"""The longest time for a timer; credentials may be valid for longer."""


class Principal(msgspec.Struct, frozen=True):
    """A caller: `key:NAME`, `jwt:ISSUER:SUB`, `share:…`, or `anonymous` where no authentication is configured.

    Limits are counted by `account`: the principal's name or, for a caller without one, its address. `stream` is the
    only stream that the holder of a share token may see. `expires_at` is in Unix seconds: no connection outlives it.
    `topics_read` and `topics_write` restrict it to topics with these names, `*` as a suffix; None means all topics.
    `key` tells the API key that was presented from others that the same principal has had: a part of its hash.
    """

    name: str
    scopes: frozenset[Scope]
    account: str = ""
    stream: str | None = None
    expires_at: float | None = None
    topics_read: tuple[str, ...] | None = None
    topics_write: tuple[str, ...] | None = None
    key: str = ""

    def has(self, scope: Scope) -> bool:
        return scope in self.scopes or (scope in OF_ADMIN and "admin" in self.scopes)

    def valid_for(self, now: float) -> float | None:
        """Seconds until the credentials expire, at most a year; None where they never expire."""
        if self.expires_at is None:
            return None
        return max(0.0, min(self.expires_at - now, LONGEST_SECONDS))


ANONYMOUS = Principal("anonymous", SCOPES, "anonymous")

NOBODY = Principal("nobody", frozenset())
"""The principal of calls to routes that are open to all; it owns nothing."""
