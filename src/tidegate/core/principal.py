"""Who is calling, and what they may do."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Scope = Literal["generate", "read", "cancel", "publish", "subscribe", "admin"]
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))


class Principal(msgspec.Struct, frozen=True):
    """A caller: `key:NAME`, or `anonymous` where no authentication is configured."""

    name: str
    scopes: frozenset[Scope]

    def has(self, scope: Scope) -> bool:
        return scope in self.scopes


ANONYMOUS = Principal("anonymous", SCOPES)

NOBODY = Principal("nobody", frozenset())
"""Whoever calls a route that is open to all: nothing belongs to it."""
