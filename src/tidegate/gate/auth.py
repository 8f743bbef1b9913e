"""Who is calling, and whether they may call this."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.core.bucket import Buckets
from tidegate.core.principal import ANONYMOUS, NOBODY, Principal
from tidegate.errors import Forbidden, RateLimited, StreamNotFound, Unauthenticated, Unavailable
from tidegate.gate.address import account_of
from tidegate.gate.api_keys import ApiKeys
from tidegate.gate.credentials import by_subprotocol, presented
from tidegate.gate.jwt.tokens import Tokens, is_jwt
from tidegate.gate.limits import take_request
from tidegate.gate.origin import Origins, sent_origin
from tidegate.gate.reconnect import answer_reconnect
from tidegate.gate.route_policy import PRINCIPAL, ROUTE, RoutePolicy


class ShareTokens(Protocol):
    """The share tokens of streams."""

    def is_one(self, text: str) -> bool:
        """Whether it has the form of one."""
        ...

    async def holder(self, token: str) -> Principal | None:
        """Who may read what by this token; None where it is not, or no longer, valid."""
        ...


class Authenticator:
    """Resolves credentials: API keys, JWTs where `tokens` is given, and share tokens.

    Without keys and tokens everybody is `anonymous` and may do everything; limits are then counted on addresses.
    `failures` has buckets of their own for those who cannot say who they are: nobody else is refused for them. None
    where there is no limit; `clock` is in seconds.
    """

    def __init__(
        self,
        keys: ApiKeys,
        tokens: Tokens | None,
        shares: ShareTokens,
        origins: Origins,
        *,
        failures: Buckets | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._shares = shares
        self._origins = origins
        self._failures = failures
        self._clock = clock
        self._open = not keys and tokens is None

    def authenticate(self, scope: MutableMapping[str, Any], *, allow_query: bool) -> Principal | Awaitable[Principal]:
        """The caller; an awaitable where that has to be looked up.

        Raises `Unauthenticated` (or the awaitable does), which never repeats what was presented.
        """
        return self._resolve(self._presented(scope, allow_query=allow_query), scope)

    def failed(self, account: str) -> None:
        """Counts credentials that are missing or not valid. Raises `RateLimited` once an address has had too many."""
        take_request(self._failures, account, self._clock())

    def _presented(self, scope: MutableMapping[str, Any], *, allow_query: bool) -> str | None:
        # Where nobody needs credentials, those of a proxy in front, or an empty key, are none of ours.
        return presented(scope, allow_query=allow_query, allow_cookie=self._is_own(scope), strict=not self._open)

    def _handshake(self, scope: MutableMapping[str, Any]) -> str | None:
        found = self._presented(scope, allow_query=False)
        return found if found is not None else by_subprotocol(scope)

    def _resolve(self, found: str | None, scope: MutableMapping[str, Any]) -> Principal | Awaitable[Principal]:
        if found is not None and self._shares.is_one(found):
            return self._share(found, scope)
        if self._open:
            return _anonymous(account_of(scope))
        if found is None:
            raise Unauthenticated("No credentials were sent: use the header authorization: Bearer TOKEN.")
        return self.resolve(found, account_of(scope))

    def presents(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether a handshake has any credentials, well-formed or not."""
        try:
            return self._handshake(scope) is not None
        except Unauthenticated:
            return True

    def handshake(self, scope: MutableMapping[str, Any]) -> Principal | Awaitable[Principal]:
        """The caller of a WebSocket, by the header, the subprotocol `bearer.TOKEN`, or the pages' cookie."""
        return self._resolve(self._handshake(scope), scope)

    def bearer(self, token: str, scope: MutableMapping[str, Any]) -> Principal | Awaitable[Principal]:
        """The caller who says so in a message."""
        return self._resolve(token, scope)

    def resolve(self, text: str, account: str) -> Principal | Awaitable[Principal]:
        """Whose key or JWT it is, presented from that address; as `authenticate`."""
        if (holder := self._keys.holder(text)) is not None:
            return holder
        if self._tokens is not None and is_jwt(text):
            return self._tokens.check(text, account)
        raise Unauthenticated("These credentials are not valid.")

    async def _share(self, token: str, scope: MutableMapping[str, Any]) -> Principal:
        holder = await self._shares.holder(token)
        if holder is None:
            raise Unauthenticated("This share token is not valid, or no longer.")
        # Many people hold one token: each is limited by itself.
        return Principal(holder.name, holder.scopes, account_of(scope), holder.stream, holder.expires_at)

    def _is_own(self, scope: MutableMapping[str, Any]) -> bool:
        origin = sent_origin(scope)
        return origin is None or self._origins.is_own(origin, scope)


class AuthMiddleware:
    """Sets the `PRINCIPAL` of the `ROUTE`. Raises `Forbidden` or `StreamNotFound`.

    Raises `Unauthenticated`, or `RateLimited` after too many of those from one address, or `Unavailable` where nobody
    can tell now; an `EventSource` is told to come back then.
    """

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator) -> None:
        self.app = app
        self.authenticator = authenticator

    # A plain function: a coroutine of its own would be kept for as long as the answer is.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        route: RoutePolicy = scope[ROUTE]
        if route.scope is None:
            scope[PRINCIPAL] = NOBODY
            return self.app(scope, receive, send)
        try:
            found = self.authenticator.authenticate(scope, allow_query=route.events)
        except (Unauthenticated, Unavailable) as error:
            return self._refuse(error, scope, send)
        if isinstance(found, Principal):
            self._admit(found, scope)
            return self.app(scope, receive, send)
        return self._call(found, scope, receive, send)

    async def _call(self, found: Awaitable[Principal], scope: Scope, receive: Receive, send: Send) -> None:
        try:
            principal = await found
        except (Unauthenticated, Unavailable) as error:
            return await self._refuse(error, scope, send)
        self._admit(principal, scope)
        return await self.app(scope, receive, send)

    def _refuse(self, error: Unauthenticated | Unavailable, scope: Scope, send: Send) -> Awaitable[None]:
        route: RoutePolicy = scope[ROUTE]
        try:
            if isinstance(error, Unauthenticated):
                self.authenticator.failed(account_of(scope))
            raise error
        except (RateLimited, Unavailable) as later:
            if not route.events:
                raise
            return answer_reconnect(scope, send, later.retry_after or 0, later.code)

    def _admit(self, principal: Principal, scope: Scope) -> None:
        require(principal, scope[ROUTE], scope.get("path_params", {}).get("id"))
        scope[PRINCIPAL] = principal


def require(principal: Principal, route: RoutePolicy, stream: str | None) -> None:
    """Raises `Forbidden` if the principal lacks the route's scope.

    To the holder of a share token there is nothing but its stream: `StreamNotFound` elsewhere, and `Forbidden` for
    what it may not do there.
    """
    if principal.stream is not None and principal.stream != stream:
        raise StreamNotFound("this share token is for one stream, and that is not here")
    if principal.stream is not None and not route.shared:
        raise Forbidden("A share token only reads its stream.")
    if route.scope is not None and not any(map(principal.has, (route.scope, *route.or_scopes))):
        raise Forbidden(f"These credentials lack the scope {route.scope!r}.")


@lru_cache(4096)
def _anonymous(account: str) -> Principal:
    return Principal(ANONYMOUS.name, ANONYMOUS.scopes, account)
