"""Publishing: the events of a node reach each topic in the order of its calls, one batch at a time.

What is published while a batch is under way is the next one. A batch has a number, by which Redis knows it when it
comes again through another connection.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from tidegate.core.cursor import Cursor, new_epoch, parse
from tidegate.core.events import Published, encode
from tidegate.errors import IdempotencyMismatch, StorageFull, StoreUnavailable, TidegateError
from tidegate.stores.ledger import BLOCK_BYTES
from tidegate.stores.records import Claim
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.script import Argument, Script
from tidegate.stores.redis.topics.record import MESSAGE_BYTES
from tidegate.stores.redis.topics.sender_charges import SenderCharges
from tidegate.stores.topic_charges import TOPIC_BYTES as OVERHEAD_BYTES
from tidegate.stores.topic_log import CLAIM_BYTES, PUBLISHED_BYTES, TOPIC_BYTES, weight_of

ANSWER_KEPT_SECONDS = 60
"""How long Redis remembers what came of a batch: far longer than the node that has sent it may send it again."""

BATCH_EVENTS = 64
"""Events of a batch: Redis answers nobody else while it publishes them, for about a millisecond."""

BATCH_BYTES = 256 << 10
"""Bytes of JSON in a batch, but at least one event."""

WAITING_BYTES = 64 << 20
"""Bytes of JSON that wait at a node to be published, for some seconds at the most: a quarter of what its connections
may hold. Beyond it publishing is refused."""

EARLIER = b"earlier "
"""Begins a result: the event was not published, since the topic has one with its claim."""

CHARGE = b"charge "
"""Begins a result: the event's sender has to be charged for so many bytes first."""

PUBLISH = Script("publish")


class Waiting:
    """An event that waits to be published. `charged` is for how many bytes its sender has just been charged; with
    `gives_way` the sender's own oldest events are forgotten for it."""

    __slots__ = ("answer", "charged", "claim", "event", "gives_way", "json")

    def __init__(self, event: Published, claim: Claim | None, answer: Future[Cursor]) -> None:
        self.event = event
        self.json = encode(event)
        self.claim = claim
        self.answer = answer
        self.charged = 0
        self.gives_way = False

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """What the script is told of it."""
        event = self.event
        key, digest = (self.claim.key, self.claim.digest) if self.claim is not None else ("", b"")
        return self.json, event.sender, event.at, int(event.state), key, digest, self.charged, int(self.gives_way)

    def ahead(self, size: int) -> int:
        """How many bytes to charge ahead where the sender has `size` bytes with this event.

        As many as it had in earlier events, up to a block: in many a topic a sender says one thing only.
        """
        earlier = size - OVERHEAD_BYTES - weight_of(len(self.json), self.claim)
        return min(BLOCK_BYTES, earlier)


class Publishing:
    """Publishes to any topics. A batch waits `brief` seconds for Redis.

    `on_published` is called with the topic, the position and the JSON (None: unknown) of each event that Redis has,
    before its publisher is told.
    """

    def __init__(
        self,
        shards: Shards,
        keys: Keys,
        charges: SenderCharges,
        *,
        history: int,
        brief: float,
        keep_ms: int,
        random_bits: Callable[[int], int],
        on_published: Callable[[str, Cursor, bytes | None], None],
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._charges = charges
        self._history = history
        self._brief = brief
        self._keep_ms = keep_ms
        self._random_bits = random_bits
        self._on_published = on_published
        # Two starts of a node must not be taken for one: hence it has another name here each time.
        self._node = f"{random_bits(64):x}"
        self._numbers = count(1)
        self._queues: dict[str, deque[Waiting]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bytes = 0

    def publish(self, topic: str, event: Published, claim: Claim | None) -> Future[Cursor]:
        """The event's position, or that of the earlier event with the same claim.

        The future raises the errors of `Topics.publish`, and `StoreUnavailable` where too much waits.
        """
        loop = asyncio.get_running_loop()
        waiting = Waiting(event, claim, loop.create_future())
        if self._bytes + len(waiting.json) > WAITING_BYTES:
            waiting.answer.set_exception(StoreUnavailable("more waits to be published than this node can hold"))
            return waiting.answer
        self._bytes += len(waiting.json)
        queue = self._queues.setdefault(topic, deque())
        queue.append(waiting)
        if topic not in self._tasks:
            self._tasks[topic] = loop.create_task(self._run(topic, queue))
        return waiting.answer

    async def close(self) -> None:
        """Waits until all is published, or has failed."""
        await asyncio.gather(*self._tasks.values())

    async def _run(self, topic: str, queue: deque[Waiting]) -> None:
        try:
            while queue:
                await self._send(topic, queue)
        except TidegateError as error:
            # Nobody knows what came of the batch. What waits behind it has no better prospects, and must not overtake.
            while queue:
                self._finish(queue.popleft(), error)
        finally:
            del self._tasks[topic], self._queues[topic]

    async def _send(self, topic: str, queue: deque[Waiting]) -> None:
        results, lower = await self._asked(topic, _batch_of(queue))
        for result in results:
            if result.startswith(CHARGE):
                await self._charge(topic, queue, int(result.removeprefix(CHARGE)))
            else:
                self._answer(topic, queue.popleft(), result)
        for sender in lower:
            self._charges.lower(topic, sender.decode())

    def _asked(self, topic: str, batch: Sequence[Waiting]) -> Future[Any]:
        keys = self._keys
        record = keys.record(topic)
        names = (record, keys.log(topic), keys.claims(topic), keys.senders(topic), keys.published(topic, self._node))
        command = PUBLISH(
            names,
            next(self._numbers),
            new_epoch(self._random_bits(64)),
            self._history,
            TOPIC_BYTES,
            self._keep_ms,
            1000 * ANSWER_KEPT_SECONDS,
            self._shards.publish,
            keys.news_of(topic),
            MESSAGE_BYTES,
            OVERHEAD_BYTES,
            PUBLISHED_BYTES,
            CLAIM_BYTES,
            BLOCK_BYTES,
            *(argument for each in batch for argument in each.arguments),
        )
        return self._shards.ask(record, command, within=self._brief)

    def _answer(self, topic: str, waiting: Waiting, result: bytes) -> None:
        if result == b"mismatch":
            reason = "this idempotency key was used with another body"
            self._finish(waiting, IdempotencyMismatch(reason, param="Idempotency-Key"))
            return
        cursor = parse(result.removeprefix(EARLIER).decode())
        # The earlier event with the same claim has another time.
        self._on_published(topic, cursor, None if result.startswith(EARLIER) else waiting.json)
        self._finish(waiting, cursor)

    async def _charge(self, topic: str, queue: deque[Waiting], size: int) -> None:
        """Makes room for the first event that waits; if there is none, fails it."""
        waiting = queue[0]
        event = waiting.event
        try:
            waiting.charged = await self._charges.cover(
                topic, event.sender, size, ahead=waiting.ahead(size), at=event.at
            )
        except StorageFull as error:
            if waiting.gives_way:
                self._finish(queue.popleft(), error)
            waiting.gives_way = True

    def _finish(self, waiting: Waiting, result: Cursor | TidegateError) -> None:
        self._bytes -= len(waiting.json)
        if waiting.answer.done():
            return
        if isinstance(result, Cursor):
            waiting.answer.set_result(result)
        else:
            waiting.answer.set_exception(result)


def _batch_of(queue: Sequence[Waiting]) -> Sequence[Waiting]:
    """The first events that wait, as many as one script may publish."""
    batch: list[Waiting] = []
    size = 0
    for waiting in queue:
        size += len(waiting.json)
        if batch and (len(batch) >= BATCH_EVENTS or size > BATCH_BYTES):
            break
        batch.append(waiting)
    return batch
