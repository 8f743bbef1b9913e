"""The share cache: recently used shares in memory; all others are read from the file."""

from __future__ import annotations

from functools import partial

from tidegate.stores.records import Share
from tidegate.stores.sqlite import reader
from tidegate.stores.sqlite.streams import Ask

KEPT_SHARES = 1024
"""Shares in memory, half a KB each: those of links that are opened again and again. All others cost one read."""


class Shares:
    """A cache of shares; belongs on the loop's thread. The least recently used are dropped first."""

    def __init__(self, ask: Ask, max_shares: int = KEPT_SHARES) -> None:
        self._ask = ask
        self._max_shares = max_shares
        self._kept: dict[bytes, Share] = {}
        self._cleared = 0

    async def found(self, digest: bytes) -> Share | None:
        """The share, if there is one. A share that does not exist is looked for in the file each time."""
        while (share := self._kept.pop(digest, None)) is None:
            cleared = self._cleared
            share = await self._ask(partial(reader.share_of, digest=digest))
            # A share that was read before some share was revoked may be the revoked one.
            if cleared == self._cleared:
                break
        if share is not None:
            self._keep(share)
        return share

    def clear(self) -> None:
        """Drops all shares, since some share was revoked or forgotten with its stream: all are read again."""
        self._cleared += 1
        self._kept.clear()

    def _keep(self, share: Share) -> None:
        self._kept.pop(share.digest, None)
        self._kept[share.digest] = share
        if len(self._kept) > self._max_shares:
            del self._kept[next(iter(self._kept))]
