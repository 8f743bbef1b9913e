"""A cache of verified tokens: a client sends the same one with every request."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.gate.jwt.jwk import KeySet

MOST_TOKENS = 1024
"""Payloads held, of 6 KB at most. Verifying a signature costs as much as the rest of the gate, or more."""


class VerifiedTokens:
    """Payloads by the hash of their token, for as long as the issuer's keys are the same.

    Only a valid token is ever held. When the cache is full, the oldest payload makes room.
    """

    def __init__(self, most: int = MOST_TOKENS) -> None:
        self._most = most
        self._keys: KeySet | None = None
        self._payloads: dict[bytes, bytes] = {}

    def find(self, token: str, keys: KeySet | None) -> bytes | None:
        """The payload, if the token has been kept under the same keys."""
        return self._payloads.get(_digest(token)) if keys is self._keys else None

    def keep(self, token: str, keys: KeySet | None, payload: bytes) -> bytes:
        """Holds the payload, and returns it."""
        if keys is not self._keys:
            self._keys = keys
            self._payloads.clear()
        if len(self._payloads) >= self._most:
            del self._payloads[next(iter(self._payloads))]
        self._payloads[_digest(token)] = payload
        return payload


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
