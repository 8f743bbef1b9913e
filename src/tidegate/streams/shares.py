"""Share tokens: the holder of one may read one stream, until the token expires or is revoked."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256

from tidegate.core.principal import Principal
from tidegate.errors import Unauthenticated
from tidegate.stores.base import Store
from tidegate.stores.records import Share

PREFIX = "share_"

NAME = "share:"
"""Begins the name of a token's holder; the token's SHA-256 follows, which reveals nothing of 256 random bits."""

_TOKEN = re.compile(PREFIX + "[0-9a-f]{64}")


def is_share_token(text: str) -> bool:
    """Whether the text is meant as a share token, by its prefix.

    A malformed one is an invalid share token: its sender is told so, and never taken for a caller without credentials,
    who may do more where no authentication is configured.
    """
    return text.startswith(PREFIX)


class Shares:
    """Makes and checks share tokens of 256 random bits; the store keeps only the SHA-256 of each."""

    is_one = staticmethod(is_share_token)

    def __init__(self, store: Store, *, now: Callable[[], float], random_bits: Callable[[int], int]) -> None:
        self._store = store
        self._now = now
        self._random_bits = random_bits

    async def share(self, stream: str, ttl_seconds: float) -> tuple[str, float]:
        """A new token, and when it expires, in Unix seconds. Raises `StreamNotFound` or `TooManyShares`."""
        token = f"{PREFIX}{self._random_bits(256):064x}"
        expires_at = round(self._now() + ttl_seconds, 3)
        await self._store.share(Share(_digest(token), stream, expires_at))
        return token, expires_at

    async def holder(self, token: str) -> Principal | None:
        """The principal that reads with this token, which has no account; None where the token is unknown, malformed,
        revoked or expired."""
        if not _TOKEN.fullmatch(token):
            return None
        digest = _digest(token)
        share = await self._valid(digest)
        if share is None:
            return None
        return Principal(f"{NAME}{digest.hex()}", frozenset({"read"}), stream=share.stream, expires_at=share.expires_at)

    async def check(self, holder: Principal) -> None:
        """Raises `Unauthenticated` where the holder's token is no longer valid."""
        if await self._valid(bytes.fromhex(holder.name.removeprefix(NAME))) is None:
            raise Unauthenticated("This share token is not valid, or no longer.")

    async def revoke(self, stream: str) -> None:
        """Revokes all tokens of the stream. Raises `StreamNotFound`."""
        await self._store.unshare(stream)

    async def _valid(self, digest: bytes) -> Share | None:
        share = await self._store.shared(digest)
        return None if share is None or share.expires_at <= self._now() else share


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
