"""Who is calling: API keys, known here only by their SHA-256."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from tidegate.core.principal import ANONYMOUS, Principal, Scope
from tidegate.errors import Forbidden, Unauthenticated


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `[[auth.keys]]`. `sha256` is that of the key, in hexadecimal; keys are 256 random bits.

    A key that hard to guess needs no slow hash.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")]
    scopes: tuple[Scope, ...] = ()


def key_sha256(key: str) -> str:
    """What `ApiKey.sha256` is for this key."""
    return hashlib.sha256(key.encode()).hexdigest()


class Authenticator:
    """Resolves the credentials of a request. Without keys everybody is `anonymous` and may do everything."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = [(bytes.fromhex(key.sha256), Principal(f"key:{key.name}", frozenset(key.scopes))) for key in keys]

    def authenticate(self, scope: MutableMapping[str, Any], *, allow_query: bool) -> Principal:
        """The caller, by `authorization: Bearer KEY`, else, where `allow_query`, by `?access_token=KEY`.

        `allow_query` is for GET SSE routes alone, since `EventSource` cannot set headers.
        Raises `Unauthenticated`, which never repeats what was presented.
        """
        if not self._keys:
            return ANONYMOUS
        presented = _bearer(scope["headers"])
        if presented is None and allow_query:
            presented = _access_token(scope["query_string"])
        if presented is None:
            raise Unauthenticated("No API key was sent: use the header authorization: Bearer KEY.")
        return self._principal(presented)

    def _principal(self, presented: bytes) -> Principal:
        digest = hashlib.sha256(presented).digest()
        found: Principal | None = None
        # All keys are compared, in constant time each: the time taken says nothing about which came close.
        for known, principal in self._keys:
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            raise Unauthenticated("The API key is not valid.")
        return found


def require(principal: Principal, scope: Scope) -> None:
    """Raises `Forbidden`, naming the scope, if the principal lacks it."""
    if not principal.has(scope):
        raise Forbidden(f"These credentials lack the scope {scope!r}.")


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        return None
    scheme, _, key = values[0].partition(b" ")
    if len(values) > 1 or scheme.lower() != b"bearer" or not key.strip():
        raise Unauthenticated("The authorization header must be, once: Bearer KEY.")
    return key.strip()


def _access_token(query: bytes) -> bytes | None:
    for name, value in parse_qsl(query.decode("latin-1")):
        if name == "access_token":
            return value.encode()
    return None
