"""The outer layer of a JWT (RFC 7515): its form, its header, and its signature."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tidegate.errors import Unauthenticated

MAX_TOKEN_CHARS = 8192
"""A token with a long list of groups has half of this, and proxies such as nginx pass no longer header line."""

HS256 = "HS256"

SIGNED_BY_KEY = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)  # fmt: skip
"""The algorithms of public keys. A secret never checks one of these, and a public key, known to all, never HS256."""

# RFC 7519, 6: an unsigned token ends with its last dot. It is recognised, so as to be refused with the reason.
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class Header(msgspec.Struct, frozen=True):
    """The fields of a header that count. Keys that come with the token (`jku`, `jwk`, `x5u`, `x5c`) prove nothing."""

    alg: str
    kid: str | None = None
    crit: Any | UnsetType = UNSET
    b64: bool = True


def is_jwt(text: str) -> bool:
    """Whether the text has the form of a signed JWT: three parts of base64url between dots."""
    return _FORM.fullmatch(text) is not None


def read_header(token: str) -> Header:
    """The header, not verified yet. Raises `Unauthenticated` where it is malformed or has unsupported extensions."""
    if len(token) > MAX_TOKEN_CHARS:
        raise Unauthenticated(f"The token is longer than {MAX_TOKEN_CHARS} characters.")
    if not is_jwt(token):
        raise Unauthenticated("The token is not a signed JWT.")
    part = token.partition(".")[0]
    try:
        header = msgspec.json.decode(urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=Header)
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unauthenticated("The token's header is malformed.") from None
    # RFC 7515, 4.1.11 and RFC 7797, 6: a token with critical extensions must be refused if they are not supported.
    if header.crit is not UNSET or not header.b64:
        raise Unauthenticated("The token uses extensions that are not supported (crit, b64).")
    return header


def signed_payload(token: str, key: Any, alg: str) -> bytes | None:
    """The payload, if `key` has signed it. The caller has to choose a key for `alg`; the token's word is not enough."""
    from jwt import PyJWTError, api_jws

    try:
        payload: bytes = api_jws.decode(token, key, algorithms=[alg])
    except PyJWTError:
        return None
    return payload
