"""The cookie by which the server's own pages are known: a script of the page never holds the credential."""

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
from tidegate.errors import InvalidValue
from tidegate.gate.credentials import COOKIE
from tidegate.routes.call import Call

# RFC 6265, 4.1.1: what a cookie's value may hold.
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]+")


class OpenSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The API key or JWT of whoever uses the page."""

    token: Annotated[str, Meta(min_length=1, max_length=8192)]


_open = msgspec.json.Decoder(OpenSession)


async def begin(call: Call) -> None:
    """Sets the cookie, once the credential is found to be valid."""
    token = parse_body(_open, await call.body()).token
    found = call.context.authenticator.resolve(token)
    principal = await found if isinstance(found, Awaitable) else found
    if not _VALUE.fullmatch(token):
        raise InvalidValue("a credential with such characters cannot be kept in a cookie", param="token")
    await call.answer_empty(headers={"set-cookie": _cookie(call, token, _max_age(principal))})


async def end(call: Call) -> None:
    """Takes the cookie back."""
    await call.answer_empty(headers={"set-cookie": _cookie(call, "", 0)})


def _cookie(call: Call, token: str, max_age: int | None) -> str:
    url = urlsplit(call.url)
    parts = [f"{COOKIE}={token}", f"Path={url.path or '/'}", "HttpOnly", "SameSite=Strict"]
    parts += ["Secure"] if url.scheme == "https" else []
    parts += [] if max_age is None else [f"Max-Age={max_age}"]
    return "; ".join(parts)


def _max_age(principal: Principal) -> int | None:
    """Seconds; without any the browser forgets the cookie when it is closed."""
    return None if principal.expires_at is None else max(0, int(principal.expires_at - time.time()))
