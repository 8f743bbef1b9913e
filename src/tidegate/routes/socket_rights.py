"""What the credentials of a WebSocket cover of what it follows: they may be renewed by narrower ones."""

from __future__ import annotations

from tidegate.core.principal import Principal, Scope
from tidegate.delivery.attachment import Key
from tidegate.errors import TidegateError
from tidegate.streams.service import Service
from tidegate.streams.topics import check_rights

STARTED: frozenset[Scope] = frozenset(("generate", "read"))
"""Whoever may start a stream follows it from there on."""

FOUND: frozenset[Scope] = frozenset(("read",))

TOPIC: frozenset[Scope] = frozenset(("subscribe",))


async def covers(service: Service, principal: Principal, key: Key, enough: frozenset[Scope]) -> bool:
    """Whether the principal, who has followed it so far, may go on: it needs one of the scopes in `enough`.

    Where that cannot be found out it may not: its client asks again, and is told.
    """
    if not enough & principal.scopes:
        return False
    kind, name = key
    try:
        if kind == "topic":
            check_rights(name, principal.topics_read)
        else:
            await service.record(name, principal)
    except TidegateError:
        return False
    return True
