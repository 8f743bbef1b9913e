"""The claims of a verified token (RFC 7519, 4.1), and the principal that they make its bearer."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from tidegate.core.principal import SCOPES, Principal, Scope
from tidegate.errors import TokenExpired, Unauthenticated

LEEWAY_SECONDS = 30
"""An allowance for clocks that differ: by less than a second under NTP, by minutes if nobody keeps them. This covers
some seconds, and adds little to the life of a token."""

MAX_SUBJECT = 255
"""The most characters of a subject (OpenID Connect Core, 2, has the same limit)."""


class Expected(msgspec.Struct, frozen=True):
    """What tokens have to say. `issuer`: empty for any. `audience`: empty for tokens that name none."""

    issuer: str
    audience: str


class _Claims(msgspec.Struct):
    sub: str
    exp: float
    iss: str = ""
    aud: str | list[str] | UnsetType = UNSET
    nbf: float | UnsetType = UNSET
    iat: float | UnsetType = UNSET
    scope: str | None = None
    topics_read: tuple[str, ...] | None = None
    topics_write: tuple[str, ...] | None = None


def principal_of(payload: bytes, expected: Expected, now: float) -> Principal:
    """The principal of a token with this payload. `now` is in Unix seconds.

    Raises `TokenExpired` where the token is valid but for its age, else `Unauthenticated`.
    """
    claims = _read(payload)
    _check_names(claims, expected)
    _check_times(claims, now)
    name = _name(claims, expected)
    named = frozenset((claims.scope or "").split(" "))
    scopes: list[Scope] = [scope for scope in SCOPES if scope in named]
    return Principal(
        name,
        frozenset(scopes),
        name,
        expires_at=claims.exp + LEEWAY_SECONDS,
        topics_read=claims.topics_read,
        topics_write=claims.topics_write,
    )


def _name(claims: _Claims, expected: Expected) -> str:
    # Where any issuer is accepted, none may name another's subjects: escaped, the subject begins at the last colon.
    sub = claims.sub if expected.issuer else claims.sub.replace("%", "%25").replace(":", "%3A")
    return f"jwt:{claims.iss}:{sub}"


def is_subject(text: str) -> bool:
    """Whether a token may have this text as `sub`: 1 to 255 printable characters."""
    return 0 < len(text) <= MAX_SUBJECT and text.isprintable()


def _read(payload: bytes) -> _Claims:
    try:
        return msgspec.json.decode(payload, type=_Claims)
    except msgspec.ValidationError as error:
        # The message names keys and types, and no values.
        raise Unauthenticated(f"The token's claims are not valid: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unauthenticated("The token's claims are malformed.") from None


def _check_names(claims: _Claims, expected: Expected) -> None:
    if not is_subject(claims.sub):
        raise Unauthenticated(f"The token's sub must be 1 to {MAX_SUBJECT} printable characters.")
    if expected.issuer and claims.iss != expected.issuer:
        raise Unauthenticated("The token is of another issuer.")
    if not claims.iss.isprintable():
        raise Unauthenticated("The token's iss must be printable characters.")
    # RFC 7519, 4.1.3: a token with an audience must be refused by everybody else.
    if not _is_meant(claims.aud, expected.audience):
        raise Unauthenticated("The token is not for this audience.")


def _is_meant(aud: str | list[str] | UnsetType, audience: str) -> bool:
    if aud is UNSET:
        return not audience
    return bool(audience) and audience in ([aud] if isinstance(aud, str) else aud)


def _check_times(claims: _Claims, now: float) -> None:
    begins = max(now if at is UNSET else at for at in (claims.nbf, claims.iat))
    if begins > now + LEEWAY_SECONDS:
        raise Unauthenticated("The token is not valid yet.")
    if now >= claims.exp + LEEWAY_SECONDS:
        raise TokenExpired("The token has expired: get a new one.")
