"""Authenticates callers, and authorizes them for the route that they call."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.core.bucket import Buckets
from tidegate.core.principal import ANONYMOUS, NOBODY, Principal
from tidegate.errors import Forbidden, RateLimited, StreamNotFound, Unauthenticated, Unavailable
from tidegate.gate.address import account_of, is_local
from tidegate.gate.api_keys import ApiKeys
from tidegate.gate.credentials import by_subprotocol, presented
from tidegate.gate.jwt.tokens import Tokens, is_jwt
from tidegate.gate.limits import take_request
from tidegate.gate.origin import Origins, sent_origin
from tidegate.gate.reconnect import answer_reconnect
from tidegate.gate.route_policy import PRINCIPAL, ROUTE, RoutePolicy

LOCAL = "local"
"""The name of a principal that calls from this machine, without credentials."""


class ShareTokens(Protocol):
    """The share tokens of streams."""

    def is_one(self, text: str) -> bool:
        """Whether the text has the form of a share token."""
        ...

    async def holder(self, token: str) -> Principal | None:
        """The principal of the token; None where the token is not, or no longer, valid."""
        ...


class Authenticator:
    """Resolves credentials: API keys, JWTs where `tokens` is given, and share tokens.

    Without keys and tokens everybody is `anonymous` and may do everything; limits are then counted on addresses.
    `failures` are the buckets, by address, for failed authentication alone: they never refuse valid credentials. None:
    no limit; `clock` is in seconds.
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

    @property
    def _open(self) -> bool:
        return not self._keys and self._tokens is None

    def change(self, keys: ApiKeys) -> None:
        """Takes these keys from here on, and no others."""
        self._keys = keys

    def now(self, principal: Principal) -> Principal | None:
        """What a caller of before may do by the keys of now; None where its credentials are not valid any more."""
        if principal.key:
            return self._keys.now(principal)
        return None if principal.name == ANONYMOUS.name and not self._open else principal

    def again(self, scope: MutableMapping[str, Any]) -> Principal:
        """Looks again at the caller of a call whose body has come since it was let in: keys may have changed.

        Raises `Unauthenticated`, `Forbidden` or `StreamNotFound`, as if it came now.
        """
        before: Principal = scope[PRINCIPAL]
        found = self.now(before)
        if found is None:
            raise Unauthenticated("These credentials are not valid any more.")
        if found != before:
            admit(found, scope)
        return found

    def authenticate(self, scope: MutableMapping[str, Any], *, allow_query: bool) -> Principal | Awaitable[Principal]:
        """The caller; an awaitable where the credentials have to be looked up.

        Raises `Unauthenticated` (or the awaitable does), whose message never repeats the credentials.
        """
        return self._resolve(self._presented(scope, allow_query=allow_query), scope)

    def failed(self, account: str) -> None:
        """Counts credentials that are missing or not valid. Raises `RateLimited` once an address has had too many."""
        take_request(self._failures, account, self._clock())

    def _presented(self, scope: MutableMapping[str, Any], *, allow_query: bool) -> str | None:
        # On an open server, malformed credentials are ignored: they may be meant for a proxy in front, or be empty.
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
        """The caller of a WebSocket whose message brings this token; as `authenticate`."""
        return self._resolve(token, scope)

    def resolve(self, text: str, account: str) -> Principal | Awaitable[Principal]:
        """The principal of an API key or JWT, presented by an address's `account`; as `authenticate`."""
        if (holder := self._keys.holder(text)) is not None:
            return holder
        if self._tokens is not None and is_jwt(text):
            return self._tokens.check(text, account)
        raise Unauthenticated("These credentials are not valid.")

    async def _share(self, token: str, scope: MutableMapping[str, Any]) -> Principal:
        holder = await self._shares.holder(token)
        if holder is None:
            raise Unauthenticated("This share token is not valid, or no longer.")
        # Many people may hold one token: each address has limits of its own.
        return Principal(holder.name, holder.scopes, account_of(scope), holder.stream, holder.expires_at)

    def _is_own(self, scope: MutableMapping[str, Any]) -> bool:
        origin = sent_origin(scope)
        return origin is None or self._origins.is_own(origin, scope)


class AuthMiddleware:
    """Authenticates the caller for the `ROUTE`, and sets `PRINCIPAL`. Raises `Forbidden` or `StreamNotFound`.

    Raises `Unauthenticated`, `RateLimited` after too many of those from one address, or `Unavailable` where the
    credentials cannot be checked now; in the last two cases an `EventSource` is told to reconnect instead.
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
        if route.local and is_local(scope):
            scope[PRINCIPAL] = Principal(LOCAL, frozenset({route.scope}), account_of(scope))
            return self.app(scope, receive, send)
        try:
            found = self.authenticator.authenticate(scope, allow_query=route.events)
        except (Unauthenticated, Unavailable) as error:
            return self._refuse(error, scope, send)
        if isinstance(found, Principal):
            admit(found, scope)
            return self.app(scope, receive, send)
        return self._call(found, scope, receive, send)

    async def _call(self, found: Awaitable[Principal], scope: Scope, receive: Receive, send: Send) -> None:
        try:
            principal = await found
        except (Unauthenticated, Unavailable) as error:
            return await self._refuse(error, scope, send)
        admit(principal, scope)
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


def admit(principal: Principal, scope: MutableMapping[str, Any]) -> None:
    """Sets `PRINCIPAL`, if the principal may call the `ROUTE`; raises as `require`."""
    require(principal, scope[ROUTE], scope.get("path_params", {}).get("id"))
    scope[PRINCIPAL] = principal


def require(principal: Principal, route: RoutePolicy, stream: str | None) -> None:
    """Raises `Forbidden` if the principal lacks the route's scope.

    For the holder of a share token only its stream exists: raises `StreamNotFound` for any other, and `Forbidden` for
    what the token does not allow.
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
