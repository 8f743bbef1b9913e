"""API keys, known here only by their SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tidegate.core.principal import Principal, Scope

KEY_DIGITS = 16
"""How much of its hash tells a key from others: no two of 64 random bits are equal."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `[[auth.keys]]`. `sha256` is that of the key, in hexadecimal; keys are 256 random bits.

    Keys with so much randomness need no slow hash.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")]
    scopes: tuple[Scope, ...] = ()


def key_sha256(key: str) -> str:
    """The value of `ApiKey.sha256` for this key."""
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """Finds the principal of a key."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._holders = {bytes.fromhex(key.sha256): _principal(key) for key in keys}
        self._of_now = {(holder.name, holder.key): holder for holder in self._holders.values()}

    def __bool__(self) -> bool:
        return bool(self._holders)

    def holder(self, presented: str) -> Principal | None:
        """The principal of the key; None if it is not a valid one."""
        # The time of a look-up may leak something of the stored hashes, which does not help to guess 256 random bits.
        return self._holders.get(hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest())

    def now(self, holder: Principal) -> Principal | None:
        """What the holder of a key may do now, which these or earlier keys had; None if the key is no longer valid."""
        return self._of_now.get((holder.name, holder.key))


def _principal(key: ApiKey) -> Principal:
    name = f"key:{key.name}"
    return Principal(name, frozenset(key.scopes), name, key=key.sha256[:KEY_DIGITS].lower())
