"""JSON Web Tokens (RFC 7519): verifies them, and makes them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from tidegate.core.principal import Principal
from tidegate.errors import ConfigError, Unauthenticated
from tidegate.gate.jwt.claims import MAX_SUBJECT, Expected, is_subject, principal_of
from tidegate.gate.jwt.jws import HS256, SIGNED_BY_KEY, Header, is_jwt, read_header, signed_payload
from tidegate.gate.jwt.verified_tokens import VerifiedTokens

if TYPE_CHECKING:
    from tidegate.gate.jwt.jwk import KeySet
    from tidegate.gate.jwt.jwks import IssuerKeys

__all__ = ["Tokens", "is_jwt", "mint", "secret_of"]

_SECRET_KEY = ("auth", "jwt_secret_env")

MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: as long as the hash. Shorter ones can be guessed from a single token."""


class Tokens:
    """Verifies tokens: HS256 with the secret, all others with the issuer's keys.

    `issuer`: empty for any. `audience`: empty for tokens without one. `now` is in Unix seconds.
    """

    def __init__(
        self,
        *,
        secret: bytes | None,
        keys: IssuerKeys | None,
        issuer: str,
        audience: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        # Imported now, and not while the first request waits.
        import jwt  # noqa: F401  # pyright: ignore[reportUnusedImport]

        self._secret = secret
        self._keys = keys
        self._expected = Expected(issuer, audience)
        self._now = now
        self._verified = VerifiedTokens()

    def start(self) -> None:
        """Begins to fetch the issuer's keys, so that the first requests find them."""
        if self._keys is not None:
            self._keys.current()

    def close(self) -> None:
        """Cancels a fetch of keys."""
        if self._keys is not None:
            self._keys.close()

    def check(self, token: str, account: str = "") -> Principal | Awaitable[Principal]:
        """The token's principal; an awaitable where keys have to be fetched first, which counts as a wait of `account`.

        Raises `Unauthenticated`, `TokenExpired` or `IssuerUnavailable` (or the awaitable does). No message repeats
        any of the token.
        """
        known = None if self._keys is None else self._keys.current()
        if (payload := self._verified.find(token, known)) is not None:
            return self._principal(payload)
        header = read_header(token)
        if header.alg == HS256 and self._secret is not None:
            payload = _signed(signed_payload(token, self._secret, HS256))
        elif header.alg not in SIGNED_BY_KEY or self._keys is None:
            raise Unauthenticated("The token's algorithm is not one that this server accepts.")
        elif known is None or (payload := _found(token, header, known)) is None:
            sought = self._keys.seek(lambda keys: _found(token, header, keys), seen=known, account=account)
            return self._fetched(sought)
        return self._principal(self._verified.keep(token, known, payload))

    async def _fetched(self, sought: Awaitable[bytes | None]) -> Principal:
        payload = await sought
        if payload is None:
            raise Unauthenticated("The token is not signed by a key that its issuer has.")
        return self._principal(payload)

    def _principal(self, payload: bytes) -> Principal:
        return principal_of(payload, self._expected, self._now())


def mint(
    secret: bytes, *, sub: str, scopes: Iterable[str], ttl_seconds: int, issuer: str, audience: str, now: float
) -> str:
    """A token signed with HS256, for `ttl_seconds` from `now` on. Raises `ConfigError` for a `sub` it cannot have."""
    import jwt

    if not is_subject(sub):
        raise ConfigError(f"a token cannot have the subject {sub!r}: expected 1 to {MAX_SUBJECT} printable characters")
    names = {name: value for name, value in (("iss", issuer), ("aud", audience)) if value}
    issued = int(now)
    claims = {**names, "sub": sub, "scope": " ".join(scopes), "iat": issued, "exp": issued + ttl_seconds}
    return jwt.encode(claims, secret, algorithm=HS256)


def secret_of(env_name: str, environ: Mapping[str, str]) -> bytes:
    """The secret in the variable that `auth.jwt_secret_env` names, without the newline of a file it came from.

    Raises `ConfigError` where there is none, or none that is fit for HS256.
    """
    if not env_name:
        problem = "is not set: it names the environment variable that holds the secret"
        raise ConfigError(f"auth.jwt_secret_env {problem}", key=_SECRET_KEY, problem=f"it {problem}")
    secret = environ.get(env_name, "").rstrip("\r\n").encode("utf-8", "surrogateescape")
    if not secret:
        raise _unfit(env_name, "the environment has no such variable, or an empty one")
    if len(secret) < MIN_SECRET_BYTES:
        raise _unfit(env_name, f"the secret must have at least {MIN_SECRET_BYTES} bytes (RFC 7518, 3.2)")
    if _is_key(secret):
        raise _unfit(env_name, "this is a key or a certificate, which others may know; expected a secret")
    return secret


def _unfit(env_name: str, problem: str) -> ConfigError:
    message = f"auth.jwt_secret_env = {env_name!r}: {problem}"
    return ConfigError(message, key=_SECRET_KEY, problem=problem)


def _is_key(secret: bytes) -> bool:
    from jwt import InvalidKeyError
    from jwt.algorithms import HMACAlgorithm

    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        return True
    return False


def _found(token: str, header: Header, keys: KeySet) -> bytes | None:
    """The payload, if one of the keys has signed it; None where the right key may be missing. May raise as `check`."""
    fitting = keys.fitting(header)
    for key in fitting or ():
        if (payload := signed_payload(token, key.material, header.alg)) is not None:
            return payload
    return None if header.kid is None or fitting is None else _signed(None)


def _signed(payload: bytes | None) -> bytes:
    if payload is None:
        raise Unauthenticated("The token's signature is not valid.")
    return payload
