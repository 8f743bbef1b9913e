"""The cookie of the server's own pages, whose scripts never hold the credential."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from tidegate.core.principal import Principal
from tidegate.dialects.body import parse_body
from tidegate.errors import InvalidValue, TokenExpired, Unauthenticated
from tidegate.gate.credentials import COOKIE
from tidegate.gate.jwt.claims import LEEWAY_SECONDS
from tidegate.routes.call import Call

# RFC 6265, 4.1.1: what a cookie's value may hold.
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]+")

MAX_COOKIE = 4096
"""RFC 6265, 6.1: the length of name, value and attributes. Browsers silently drop a longer cookie."""


class OpenSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The API key or JWT of whoever uses the page."""

    token: Annotated[str, Meta(min_length=1, max_length=8192)]


_open = msgspec.json.Decoder(OpenSession)


async def begin(call: Call) -> None:
    """Sets the cookie, if the credential is valid."""
    token = parse_body(_open, await call.small_body()).token
    principal = await _holder(call, token)
    if not _VALUE.fullmatch(token):
        raise InvalidValue("a credential with such characters cannot be kept in a cookie", param="token")
    cookie = _cookie(call, token, _max_age(principal))
    if len(cookie) > MAX_COOKIE:
        raise InvalidValue(
            f"a credential of {len(token)} characters is too long for a cookie, of which browsers keep {MAX_COOKIE}: "
            "use one that says less",
            param="token",
        )
    await call.answer_empty(headers={"set-cookie": cookie})


async def end(call: Call) -> None:
    """Deletes the cookie."""
    await call.answer_empty(headers={"set-cookie": _cookie(call, "", 0)})


async def _holder(call: Call, token: str) -> Principal:
    """The principal of the credential. Raises `Unauthenticated`, or `RateLimited` after too many of those."""
    authenticator = call.context.authenticator
    try:
        found = authenticator.resolve(token, call.address_account)
        return await found if isinstance(found, Awaitable) else found
    except Unauthenticated:
        authenticator.failed(call.address_account)
        raise


def _cookie(call: Call, token: str, max_age: int | None) -> str:
    path = urlsplit(call.base).path or "/"
    parts = [f"{COOKIE}={token}", f"Path={path}", "HttpOnly", "SameSite=Strict"]
    parts += ["Secure"] if call.url.lower().startswith("https:") else []
    parts += [] if max_age is None else [f"Max-Age={max_age}"]
    return "; ".join(parts)


def _max_age(principal: Principal) -> int | None:
    """Seconds until the token expires; None if it does not: the browser forgets such a cookie when it is closed.

    The allowance for different clocks does not make the cookie live longer. Raises `TokenExpired` if no time is left.
    """
    if principal.expires_at is None:
        return None
    left = int(principal.expires_at - LEEWAY_SECONDS - time.time())
    if left <= 0:
        raise TokenExpired("The token has expired: get a new one.")
    return left
