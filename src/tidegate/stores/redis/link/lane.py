"""A lane: commands that reach one Redis in their order, through broken connections.

Two batches are under way at a time, so that Redis has the next one while the answers to the last one are read; what is
asked meanwhile is the one after it: so under load a batch carries the appends of many streams, without a delay that
anybody has set. What a broken connection left without an answer is sent again: hence every command must be harmless
when it is repeated.
"""

from __future__ import annotations

import asyncio
import logging
import re
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import islice
from math import inf
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio.connection import Connection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeout,
)

from tidegate.core.unheeded import unheeded
from tidegate.errors import StoreUnavailable
from tidegate.stores.redis.link.connecting import Opened, closed, send, stopped
from tidegate.stores.redis.link.refusals import Refusals
from tidegate.stores.redis.script import Command

ANSWER_SECONDS = 2.0
"""How long a batch may take before its connection is taken for dead: some thousand times as long as it takes."""

BATCH = 512
"""Commands in a batch: Redis answers nobody else meanwhile, for some milliseconds."""

BATCH_BYTES = 1 << 20
"""Bytes of a batch, but at least one command: the rest waits where it can still be refused."""

UNDER_WAY = 2
"""Batches that were sent and have no answer yet: more of them would be smaller, and cost more."""

BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.4)
"""Seconds between attempts to connect; the last value repeats. A node tries so often that a failover costs readers no
more than half a second beyond its own time, and so rarely that 100 nodes do not hinder a Redis that starts."""

LAST_SECONDS = 0.6
"""How long a call waits where Redis has been away for longer than it would wait: for the next attempt to connect."""

FOR_EVER = inf
"""The `within` of commands that keep Redis true to what this node does: they wait for as long as Redis is away."""

UNUSABLE = (
    ConnectionError,
    RedisTimeout,
    OSError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    ReadOnlyError,
    TryAgainError,
)
"""What says that this server cannot serve us now: it is away, starts, or is a replica. One that is full is none of it:
it still takes what frees memory, which must not wait behind what it refuses."""

_REFUSES = re.compile(r"(?:^|: -)(?:BUSY|MASTERDOWN|MISCONF|NOREPLICAS|READONLY) ")
"""The same, where redis-py has no class for it: the disk is full, there are too few replicas, or another script runs.
Where a script is refused, Redis 6.2 calls that a fault of the script: `ERR Error running script …: -READONLY …`."""

_pack = cast("Callable[[Command], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
"""redis-py's own packing takes as long as all the rest of an append."""

logger = logging.getLogger("tidegate.stores")


class Call:
    """A command that waits for its answer, until `due` in the loop's time."""

    __slots__ = ("answer", "due", "packed", "slot")

    def __init__(self, command: Command, answer: Future[Any], due: float, slot: int) -> None:
        self.answer = answer
        self.due = due
        self.slot = slot
        self.packed = _pack(command)


class Watch(Protocol):
    """Is told whether a lane reaches its server, of commands that belong to another one, and of a subscription that
    hears nothing."""

    def unheard(self) -> None: ...

    def up(self, lane: Lane) -> None: ...

    def down(self, lane: Lane, reason: str) -> None: ...

    def moved(self, lane: Lane, call: Call) -> None: ...


class Lane:
    """Carries commands to the server that `connect` reaches. `run` is that server's, as of the last connection.

    `connected` is called with each new connection.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Opened]],
        watch: Watch,
        *,
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        self.run = ""
        self._connect = connect
        self._watch = watch
        self._on_connected = connected
        self._leaves = False
        self._waiting: deque[Call] = deque()
        # How many of those that wait were sent, and when each batch of them was sent, with its size.
        self._sent = 0
        self._under_way: deque[tuple[int, float]] = deque()
        self._sending: asyncio.Handle | None = None
        self._wanted = asyncio.Event()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._down_since = inf
        self._refusals = Refusals()
        self._closed = False
        self._emptied = asyncio.Event()

    def ask(self, command: Command, *, within: float, slot: int = 0) -> Future[Any]:
        """The answer to the command. After `within` seconds without an answer: `StoreUnavailable`.

        A command that was refused so may have been carried out all the same, now or later.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - self._down_since > within:
            within = min(within, LAST_SECONDS)
        call = Call(command, loop.create_future(), loop.time() + within, slot)
        if self._closed:
            refuse(call.answer)
            return call.answer
        self.add(call)
        if self._failures and within < FOR_EVER:
            # The next attempt to connect may take longer than this call can wait.
            loop.call_at(call.due, refuse, call.answer)
        return call.answer

    def tell(self, command: Command, *, slot: int = 0) -> None:
        """Asks without a caller that waits: Redis gets to know it, however long it is away."""
        self.ask(command, within=FOR_EVER, slot=slot)

    def add(self, call: Call) -> None:
        """Adds a command that has been asked before."""
        self._waiting.append(call)
        self._wanted.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif self._sending is None and 0 < len(self._under_way) < UNDER_WAY:
            # At the end of the turn, which may ask for more.
            self._sending = asyncio.get_running_loop().call_soon(self._send_more)

    def give_up(self) -> list[Call]:
        """Stops, and returns the commands that wait, in their order."""
        if self._task is not None:
            self._task.cancel()
        calls = list(self._waiting)
        self._waiting.clear()
        return calls

    def open(self) -> None:
        """Takes commands again, after `close`."""
        self._closed = False

    async def close(self) -> None:
        """Takes no more commands, and closes the connection once those that wait have their answers; if Redis does not
        answer, they fail with `StoreUnavailable`."""
        self._closed = True
        if self._waiting and not self._failures:
            self._emptied.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), ANSWER_SECONDS)
        task, self._task = self._task, None
        if task is not None:
            await stopped(task)
        for call in self.give_up():
            refuse(call.answer)
        await self._drop()

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._emptied.set()
                self._wanted.clear()
                await self._wanted.wait()
            try:
                await self._exchange()
            except (RedisError, OSError) as error:
                await self._failed(error)
            except Exception as error:
                # A bug must not leave all that waits without an answer for ever.
                logger.exception("a lane to Redis failed, and begins anew")
                await self._failed(error)

    async def _exchange(self) -> None:
        """Sends the next batch, and hands out its answers. Raises one of `UNUSABLE`."""
        connection = await self._connected()
        if batch := self._next_batch():
            async with asyncio.timeout(ANSWER_SECONDS):
                await send(connection, batch)
        answered = 0.0
        while self._under_way:
            count, since = self._under_way[0]
            # The time that Redis took for the batch before is not this one's.
            async with asyncio.timeout_at(max(since, answered) + ANSWER_SECONDS):
                for _ in range(count):
                    await self._settle(connection)
            self._under_way.popleft()
            answered = asyncio.get_running_loop().time()
            self._failures, self._down_since = 0, inf
            self._watch.up(self)
            if self._sending is None:
                self._send_more()

    def _send_more(self) -> None:
        """Sends the next batch, if one may be under way beside the others."""
        self._sending = None
        if self._leaves:
            # What is under way is still answered; the rest goes to where the new connection leads.
            return
        if self._connection is not None and len(self._under_way) < UNDER_WAY and (batch := self._next_batch()):
            sending = asyncio.get_running_loop().create_task(send(self._connection, batch))
            # Whoever reads the answers notices that the connection is broken.
            sending.add_done_callback(unheeded)

    def _next_batch(self) -> bytes:
        """The packed commands that are to be sent next, which are under way from now on."""
        batch: list[bytes] = []
        size = 0
        for call in islice(self._waiting, self._sent, None):
            size += len(call.packed)
            if batch and (len(batch) >= BATCH or size > BATCH_BYTES):
                break
            batch.append(call.packed)
        if batch:
            self._sent += len(batch)
            self._under_way.append((len(batch), asyncio.get_running_loop().time()))
        return b"".join(batch)

    async def _settle(self, connection: Connection) -> None:
        """Reads the answer to the first command that waits. Raises one of `UNUSABLE`."""
        try:
            found = cast("Any", await connection.read_response(disconnect_on_error=False))
        except (MovedError, AskError):
            self._watch.moved(self, self._answered())
        except UNUSABLE:
            raise
        except ResponseError as error:
            if _REFUSES.search(str(error)):
                raise
            self._refusals.tell(error, asyncio.get_running_loop().time())
            self._refused(self._answered())
        else:
            call = self._answered()
            if not call.answer.done():
                call.answer.set_result(found)

    def _answered(self) -> Call:
        """Takes the first command that waits: it has its answer."""
        self._sent -= 1
        return self._waiting.popleft()

    def _refused(self, call: Call) -> None:
        """Fails a call, or repeats it later where Redis has to get to know it, however long that takes."""
        if call.due < FOR_EVER:
            refuse(call.answer)
        elif not self._closed:
            asyncio.get_running_loop().call_later(BACKOFF_SECONDS[-1], self._repeat, call)

    def _repeat(self, call: Call) -> None:
        if not self._closed:
            self.add(call)

    def leave(self) -> None:
        """Connects anew before the next command: the server may be no master any more."""
        self._leaves = True

    async def _connected(self) -> Connection:
        if self._leaves:
            await self._drop()
        if self._connection is None:
            opened = await self._connect()
            self._connection, self.run = opened.connection, opened.run
            self._leaves = False
            self._on_connected()
            # Whoever was told to come back may have done so, and must not find done what it was refused.
            self._fail_overdue(asyncio.get_running_loop().time())
        return self._connection

    async def _failed(self, error: BaseException) -> None:
        """Drops the connection, and waits a while; what is due by then fails."""
        await self._drop()
        self._watch.down(self, _reason(error))
        if self._closed:
            # Whoever closes the lane does not wait for a Redis that is away.
            self._emptied.set()
        loop = asyncio.get_running_loop()
        self._down_since = min(self._down_since, loop.time())
        again = loop.time() + BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
        self._failures += 1
        await asyncio.sleep(again - loop.time())
        self._fail_overdue(loop.time())

    def _fail_overdue(self, now: float) -> None:
        left = deque[Call]()
        for call in self._waiting:
            if call.due > now and not call.answer.done():
                left.append(call)
            else:
                refuse(call.answer)
        self._waiting = left

    async def _drop(self) -> None:
        self._sent = 0
        self._under_way.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await closed(connection)


def refuse(answer: Future[Any], problem: str = "the store cannot be used at the moment") -> None:
    """Fails an answer, which nobody may be waiting for any more, with `StoreUnavailable`.

    Callers are not told where Redis is; the log says that, and why it cannot be used.
    """
    if not answer.done():
        answer.set_exception(StoreUnavailable(problem))
        unheeded(answer)


def _reason(error: BaseException) -> str:
    """What happened, for a log line; some of these errors have no text."""
    return str(error) or type(error).__name__
