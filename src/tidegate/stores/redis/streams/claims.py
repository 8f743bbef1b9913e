"""Idempotency keys of streams. A key and its stream need not be on the same server of a cluster: so the key is claimed
first, and a claim whose stream was never created is void after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tidegate.stores.records import Claim, Claimed, check_body
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.script import Script

CLAIM = Script("claim")
KEEP = Script("unclaim")

PENDING_SECONDS = 8.0
"""How long a claim without a stream is waited for: longer than whoever made it tries to create the stream, which is
three times what a call waits for Redis."""

LOOK_SECONDS = 0.02

Exists = Callable[[str], Awaitable[bool]]


class Claims:
    """The keys and their streams. `exists` says whether a stream is kept; a claim lasts `keep_ms` milliseconds."""

    def __init__(self, shards: Shards, keys: Keys, *, keep_ms: int, exists: Exists) -> None:
        self._shards = shards
        self._keys = keys
        self._keep_ms = keep_ms
        self._exists = exists

    async def find(self, claim: Claim, *, within: float) -> Claimed | None:
        """The stream that was started with the key, if it is kept. Raises `IdempotencyMismatch`."""
        key = self._keys.claim(claim.key)
        value = await self._shards.ask(key, ("GET", key), within=within)
        if value is None:
            return None
        digest, stream = _split(value)
        check_body(claim, digest)
        return Claimed(stream) if await self._exists(stream) else None

    async def make(self, claim: Claim, stream: str, *, within: float) -> Claimed | None:
        """Claims the key for a stream that is about to be created; the earlier stream where there is one.

        Raises `IdempotencyMismatch`, or `StoreUnavailable`.
        """
        loop = asyncio.get_running_loop()
        pending, until, void = b"", 0.0, b""
        while True:
            command = CLAIM((self._keys.claim(claim.key),), _value(claim, stream), void, self._keep_ms)
            value = await self._shards.ask(self._keys.claim(claim.key), command, within=within)
            digest, found = _split(value)
            if found == stream:
                return None
            check_body(claim, digest)
            if await self._exists(found):
                return Claimed(found)
            if value != pending:
                pending, until = value, loop.time() + PENDING_SECONDS
            elif loop.time() > until:
                void = value
            await asyncio.sleep(LOOK_SECONDS)

    def let_go(self, claim: Claim, stream: str, *, in_ms: int = 0) -> None:
        """Forgets the claim after so many milliseconds, unless another stream has it by now."""
        name = self._keys.claim(claim.key)
        command = KEEP((name,), _value(claim, stream), in_ms)
        self._shards.tell(name, command)


def text_of(claim: Claim) -> str:
    """A claim, as its stream's record keeps it."""
    return f"{claim.digest.hex()} {claim.key}"


def claim_of(text: str) -> Claim | None:
    """The claim of a stream's record; None where it has none."""
    digest, _, key = text.partition(" ")
    return Claim(key, bytes.fromhex(digest)) if text else None


def _value(claim: Claim, stream: str) -> str:
    return f"{claim.digest.hex()} {stream}"


def _split(value: bytes) -> tuple[bytes, str]:
    digest, _, stream = value.decode().partition(" ")
    return bytes.fromhex(digest), stream
