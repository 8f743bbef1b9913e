"""The keys of an issuer, fetched when they are needed and kept while the issuer is down.

The keys stay in use while they are fetched anew in the background. A token that names an unknown key waits for the next
fetch, which all that wait share, at most one in five seconds. So an issuer may change its keys at any time without a
request failing, and does not notice a flood of made-up names.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from tidegate.errors import IssuerUnavailable
from tidegate.gate.jwt.jwk import KeySet, parse_keys
from tidegate.gate.jwt.jwks_schedule import UNKNOWN_SECONDS, Schedule

MAX_WAITING = 100
"""How many requests of one account may wait for a key: an office or a back end shares one address, but more than that
are an attack. Counted by account, an attack takes no places from others, whose tokens may have a new key."""

NEAR_SECONDS = UNKNOWN_SECONDS
"""A fetch that is further away than this is not waited for: the issuer is down."""

T = TypeVar("T")

logger = logging.getLogger("tidegate.gate")


class _Landing(NamedTuple):
    """The end of a fetch: its number, counted from 1, and whether it brought keys."""

    number: int
    succeeded: bool


class IssuerKeys:
    """The keys of one issuer. `fetch` returns the document, or raises `IssuerUnavailable`; `name` is for the log.

    `clock` is in seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fetch = fetch
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._schedule = Schedule()
        self._keys = KeySet(())
        self._document: bytes = b""
        self._begun = 0
        self._waiting: Counter[str] = Counter()
        self._flight: asyncio.Task[None] | None = None
        self._landing: asyncio.Future[_Landing] | None = None

    @classmethod
    def at(cls, url: str) -> IssuerKeys:
        """The keys at `auth.jwks_url`. Raises `ConfigError` where that is no http or https URL, or has a user in it."""
        from tidegate.gate.jwt.jwks_fetch import JwksUrl

        source = JwksUrl(url)
        return cls(source.fetch, name=source.name)

    def current(self) -> KeySet | None:
        """The known keys; None where they may not be used any more. Begins a fetch that is due."""
        now = self._clock()
        if self._landing is None and self._schedule.is_due(now):
            self._launch(0)
        return self._keys if self._schedule.is_usable(now) else None

    def seek(self, find: Callable[[KeySet], T | None], *, seen: KeySet | None, account: str) -> Awaitable[T | None]:
        """What `find` finds in the keys that are fetched from now on; None where it finds nothing there either.

        `seen` are the keys that were searched before. Raises `IssuerUnavailable`, or the awaitable does, where keys
        cannot be fetched or too many requests of the account wait.
        """
        # A fetch under way may bring a document from before the key was made: the next fetch decides. Both are fixed
        # now, and not when the caller awaits.
        return self._sought(find, seen, self._landed(), self._begun + 1, account)

    def close(self) -> None:
        """Cancels the fetch; those that wait for it get `IssuerUnavailable`."""
        if self._flight is not None and self._landing is not None:
            self._flight.cancel()
            self._land(self._landing, succeeded=False)

    async def _sought(
        self,
        find: Callable[[KeySet], T | None],
        seen: KeySet | None,
        landed: Awaitable[_Landing],
        decisive: int,
        account: str,
    ) -> T | None:
        with self._place(account):
            while True:
                landing = await landed
                if not landing.succeeded:
                    raise _unavailable()
                if self._keys is not seen and (found := find(self._keys)) is not None:
                    return found
                if landing.number >= decisive:
                    return None
                seen, landed = self._keys, self._landed()

    @contextmanager
    def _place(self, account: str) -> Generator[None]:
        if self._waiting[account] >= MAX_WAITING:
            raise _unavailable()
        self._waiting[account] += 1
        try:
            yield
        finally:
            self._waiting[account] -= 1
            # An entry at 0 would stay for ever, and anybody can call from ever new networks.
            if not self._waiting[account]:
                del self._waiting[account]

    def _landed(self) -> Awaitable[_Landing]:
        """The end of the fetch under way, or of the next one. Raises `IssuerUnavailable` if that is far away."""
        if self._landing is None:
            wait = self._schedule.wait(self._clock())
            if wait > NEAR_SECONDS:
                raise _unavailable()
            self._launch(wait)
        assert self._landing is not None
        return asyncio.shield(self._landing)

    def _launch(self, delay: float) -> None:
        loop = asyncio.get_running_loop()
        self._landing = loop.create_future()
        self._flight = loop.create_task(self._fly(self._landing, delay))

    async def _fly(self, landing: asyncio.Future[_Landing], delay: float) -> None:
        succeeded = False
        try:
            if delay > 0:
                await self._sleep(delay)
            self._begun += 1
            self._schedule.begin(self._clock())
            succeeded = await self._refresh()
        finally:
            self._land(landing, succeeded=succeeded)

    def _land(self, landing: asyncio.Future[_Landing], *, succeeded: bool) -> None:
        # `close` does not wait for the task that it cancels.
        if self._landing is landing:
            landing.set_result(_Landing(self._begun, succeeded))
            self._flight = self._landing = None

    async def _refresh(self) -> bool:
        """Fetches the keys. Returns whether that succeeded, with new keys or the same again."""
        try:
            document = await self._fetch()
            # Unchanged keys stay the same object, so that `_sought` does not search them twice.
            if document != self._document:
                self._keys = parse_keys(document)
                self._document = document
        except IssuerUnavailable as error:
            self._failed(error)
            return False
        self._succeeded()
        return True

    def _failed(self, error: IssuerUnavailable) -> None:
        self._schedule.fail(self._clock())
        if self._schedule.failures == 1:
            logger.warning("the keys of the issuer at %s cannot be fetched: %s", self._name, error.message)

    def _succeeded(self) -> None:
        if self._schedule.failures:
            logger.info("the keys of the issuer at %s can be fetched again", self._name)
        self._schedule.succeed(self._clock())


def _unavailable() -> IssuerUnavailable:
    return IssuerUnavailable("The keys of the token's issuer cannot be had at the moment: try again.")
