"""Checks whether renewed credentials, which may be narrower, still cover what a connection follows."""

from __future__ import annotations

from collections.abc import Collection

from tidegate.core.principal import Principal, Scope
from tidegate.delivery.attachment import Key
from tidegate.errors import TidegateError
from tidegate.streams.service import Service
from tidegate.streams.topics import check_rights

STARTED: frozenset[Scope] = frozenset(("generate", "read"))
"""A caller that may start a stream may follow it from there on."""

FOUND: frozenset[Scope] = frozenset(("read",))

TOPIC: frozenset[Scope] = frozenset(("subscribe",))


async def covers(service: Service, principal: Principal, key: Key, enough: Collection[Scope]) -> bool:
    """Whether the principal may continue to follow a stream or topic: it needs one of the scopes in `enough`.

    False, too, where that cannot be found out: the client attaches again, and gets the error then.
    """
    if not any(map(principal.has, enough)):
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
