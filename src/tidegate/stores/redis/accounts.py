"""What each account is charged for what Redis keeps of it; what is forgotten, or refused, where it is too much.

Live streams are charged in blocks ahead of their growth, so that few appends need a second command. An account's oldest
ended streams and topics give way to its new data, and never another account's, except that the accounts that hold most
lose some when all together hold more than `store.max_bytes`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tidegate.core.topic import is_topic
from tidegate.errors import StorageFull
from tidegate.stores.ledger import AGAIN_SECONDS, CANDIDATES, FULL
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.script import Command, Script

CHARGE = Script("charge")
TOTAL = Script("total")

ATTEMPTS = 8
"""How often room is made for one charge: others of the account may take it meanwhile."""

AT_ONCE = 100
"""The most that is forgotten of one account for one charge, where all hold too much."""

logger = logging.getLogger("tidegate.stores")

Forget = Callable[[str, str], Awaitable[None]]
"""Forgets a stream or topic, if it can, for an account: called with the two."""


class Accounts:
    """The charges by account. `each` and `total` are limits in bytes (0: none); `forget` drops a stream or topic."""

    def __init__(self, shards: Shards, keys: Keys, *, each: int, total: int, keep_ms: int, forget: Forget) -> None:
        self._shards = shards
        self._keys = keys
        self._each = each
        self._total = total
        self._keep_ms = keep_ms
        self._forget = forget

    async def charge(self, account: str, name: str, size: int, *, within: float) -> None:
        """Charges the account `size` bytes in all for a live stream, or for a topic. Raises `StorageFull`.

        What is charged for the first time, or grows, may make older data of the account be forgotten.
        """
        for _ in range(ATTEMPTS):
            outcome, found = await self._ask(account, self._command(account, name, size, limit=self._each), within)
            if outcome == b"ok":
                await self._check_total(account, int(found), within)
                return
            if not found:
                break
            names = [victim.decode() for victim in found]
            for each in names:
                await self._forget(each, account)
            topics = sum(is_topic(each) for each in names)
            logger.info(
                "forgot %d streams and %d topics of %s before their time: %s",
                len(names) - topics,
                topics,
                account,
                FULL,
            )
        raise StorageFull(
            f"{self._each} bytes of yours are kept, which is the limit: end, or delete, some of what is live",
            retry_after=AGAIN_SECONDS,
        )

    def end(self, account: str, name: str, size: int, ended_ms: int) -> None:
        """Charges `size` bytes for what has ended then and can be forgotten from now on, whatever the limits."""
        self._shards.tell(self._keys.charges_of(account), self._command(account, name, size, ended_ms=ended_ms))

    def give_back(self, account: str, name: str) -> None:
        """Charges nothing any more for what is no longer kept."""
        self.end(account, name, 0, 0)

    def _command(self, account: str, name: str, size: int, *, limit: int = 0, ended_ms: int | None = None) -> Command:
        keys = (self._keys.charges_of(account), self._keys.ended_of(account))
        return CHARGE(keys, name, size, "" if ended_ms is None else ended_ms, limit, self._keep_ms)

    def _ask(self, account: str, command: Command, within: float) -> Any:
        return self._shards.ask(self._keys.charges_of(account), command, within=within)

    async def _check_total(self, account: str, size: int, within: float) -> None:
        """Makes room where all accounts together hold too much. Raises `StorageFull`."""
        if not self._total:
            return
        together, largest = await self._note(account, size, within)
        # What accounts have given back since their last charge is not known here.
        for each in largest if together > self._total else ():
            together, _ = await self._note(each, await self._sum_of(each, within), within)
        for each in largest:
            if together <= self._total:
                return
            await self._shed(each, together - self._total, within)
            together, _ = await self._note(each, await self._sum_of(each, within), within)
        if together > self._total:
            raise StorageFull("the store holds as much as it may, all of it live", retry_after=AGAIN_SECONDS)

    async def _note(self, account: str, size: int, within: float) -> tuple[int, list[str]]:
        """Notes what the account holds; what all hold together, and the accounts that hold most."""
        command = TOTAL((self._keys.bytes,), account, size, self._keep_ms, CANDIDATES)
        together, largest = await self._shards.ask(self._keys.bytes, command, within=within)
        return int(together), [each.decode() for each in largest]

    async def _sum_of(self, account: str, within: float) -> int:
        return int(await self._ask(account, ("HGET", self._keys.charges_of(account), "sum"), within) or 0)

    async def _shed(self, account: str, excess: int, within: float) -> None:
        """Forgets so many bytes of what the account does not need to keep, the oldest first."""
        ended, charges = self._keys.ended_of(account), self._keys.charges_of(account)
        names: list[bytes] = await self._shards.ask(ended, ("ZRANGE", ended, 0, AT_ONCE - 1), within=within)
        for name in names:
            if excess <= 0:
                return
            excess -= int(await self._ask(account, ("HGET", charges, name), within) or 0)
            await self._forget(name.decode(), account)
