"""Who is calling, and what they may do."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Scope = Literal["generate", "read", "cancel", "publish", "subscribe", "admin"]
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))

OF_ADMIN: frozenset[Scope] = frozenset({"read", "cancel"})
"""What `admin` includes: whoever looks after everybody's streams has to see and to stop them."""


LONGEST_SECONDS = 366 * 86400.0
"""A timer needs some end; credentials may name any."""


class Principal(msgspec.Struct, frozen=True):
    """A caller: `key:NAME`, `jwt:ISSUER:SUB`, `share:…`, or `anonymous` where no authentication is configured.

    `account` is what its limits are counted on: its name, or the address of who has none. `stream` is the only one
    that it may see, for the holder of a share token. `expires_at` is in Unix seconds: no connection outlives it.
    `topics_read` and `topics_write` narrow its rights to topics of these names, `*` as suffix; None is all.
    """

    name: str
    scopes: frozenset[Scope]
    account: str = ""
    stream: str | None = None
    expires_at: float | None = None
    topics_read: tuple[str, ...] | None = None
    topics_write: tuple[str, ...] | None = None

    def has(self, scope: Scope) -> bool:
        return scope in self.scopes or (scope in OF_ADMIN and "admin" in self.scopes)

    def valid_for(self, now: float) -> float | None:
        """Seconds until its credentials expire, at the most a year; None where they never do."""
        if self.expires_at is None:
            return None
        return max(0.0, min(self.expires_at - now, LONGEST_SECONDS))


ANONYMOUS = Principal("anonymous", SCOPES, "anonymous")

NOBODY = Principal("nobody", frozenset())
"""Whoever calls a route that is open to all: nothing belongs to it."""
