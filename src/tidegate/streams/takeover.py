"""Takes over streams that a process has left without an end: continues them where that is possible, or ends them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec

from tidegate.core.events import Carried, Failed, Usage
from tidegate.errors import Interrupted, QueueFull, StoreUnavailable, StreamEnded, StreamNotFound
from tidegate.observe.base import GenerationEnded, Observer
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster, Moved, Orphan
from tidegate.stores.records import Fence, StreamRecord
from tidegate.streams.admission import Ticket
from tidegate.streams.ending import again, append_end, failed
from tidegate.streams.generation import Generation, Order
from tidegate.streams.history import fold
from tidegate.streams.live import LiveStreams
from tidegate.streams.models import Model
from tidegate.streams.quotas import Allowance, Quotas, Slot
from tidegate.streams.readers import RETURN_SECONDS
from tidegate.streams.timing import Timing

READ_AT_ONCE = 8
"""Logs that are read at the same time to be continued: a page of each is half a millisecond in which nothing else runs.
Streams that only need an end do not wait for that."""

logger = logging.getLogger("tidegate.streams")


class Launch(Protocol):
    """Begins to fill a stream here; see `Generations`."""

    def __call__(
        self, fence: Fence, order: Order, ticket: Ticket, model: Model, allowance: Allowance, *, tail: int
    ) -> Generation: ...


class Takeover:
    """Continues orphans at this node: `adopt` waits for a client's producer, `launch` asks a model. `now` is in Unix
    seconds.
    """

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        live: LiveStreams,
        models: Mapping[str, Model],
        quotas: Quotas,
        *,
        adopt: Callable[[Fence, int, bytes, Slot], object],
        launch: Launch,
        observer: Observer,
        now: Callable[[], float],
        timing: Timing,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._live = live
        self._models = models
        self._quotas = quotas
        self._adopt = adopt
        self._launch = launch
        self._observer = observer
        self._now = now
        self._timing = timing
        self._under_way: set[str] = set()
        self._waiting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading = asyncio.Semaphore(READ_AT_ONCE)

    async def of(self, orphan: Orphan) -> None:
        """Continues a stream whose process is gone, or ends it; retries later if the store cannot write."""
        stream = orphan.record.id
        if stream in self._under_way:
            return
        # A node that was taken for dead may still fill it here, though another has acquired it meanwhile.
        self._live.pass_on(stream)
        self._under_way.add(stream)
        later = False
        try:
            await self._take(orphan)
        except StoreUnavailable:
            logger.error("stream %s cannot be taken over yet: the store cannot write", stream)
            self._waiting.add(stream)
            self._spawn(self._take_later(orphan))
            later = True
        finally:
            if not later:
                self._under_way.discard(stream)

    def is_waiting(self, stream: str) -> bool:
        """Whether the stream is taken over as soon as the store can write."""
        return stream in self._waiting

    def close(self) -> None:
        """Cancels the takeovers that wait for the store."""
        for task in self._tasks:
            task.cancel()
        # The node may be opened again, on another loop.
        self._reading = asyncio.Semaphore(READ_AT_ONCE)

    async def _take_later(self, orphan: Orphan) -> None:
        stream = orphan.record.id
        try:
            await again(partial(self._take, orphan), retry=self._timing.retry)
        except Exception:
            logger.exception("stream %s could not be taken over", stream)
            await asyncio.sleep(self._timing.retry[-1])
            self._under_way.discard(stream)
            await self._cluster.hand_over(stream)
        finally:
            self._waiting.discard(stream)
            self._under_way.discard(stream)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, orphan: Orphan) -> None:
        try:
            await self._recover(orphan)
        except (StreamEnded, StreamNotFound):
            logger.debug("stream %s has ended meanwhile", orphan.record.id)
            self._cluster.let_go(orphan.record.id)
        if orphan.handed_over:
            self._cluster.tell(Moved(orphan.record.id))

    async def _recover(self, orphan: Orphan) -> None:
        self._cluster.hold(orphan.record.id)
        fence = await self._store.acquire(orphan.record.id)
        # Another node may have filled it since it was offered.
        found = await self._store.look(fence.stream)
        record, tail = found.record, found.tail.offset
        if record.lease:
            self._adopt(fence, tail, record.lease, self._quotas.place(record.owner, resumed=True))
            logger.info("stream %s waits for its producer since offset %d", record.id, tail)
            return
        is_read = orphan.handed_over or self._cluster.total("owner readers", record.id) > 0
        model, order = await self._ordered(record, is_read=is_read)
        ticket = _entered(model, record.owner) if order is not None else None
        if model is None or order is None or ticket is None:
            logger.warning("stream %s was interrupted at offset %d: its process is gone", record.id, tail)
            end = _interrupted(tail)
            await append_end(self._store, fence, tail, end)
            self._cluster.let_go(record.id)
            self._note_end(record, end)
            return
        logger.info("stream %s is carried on from offset %d", record.id, tail)
        # The record keeps the owner's name, not the account. Where the account was an address, the generation now
        # counts for the account `anonymous`, and not for its caller when that comes back.
        order = msgspec.structs.replace(order, age=max(0.0, self._now() - record.created_at))
        generation = self._launch(fence, order, ticket, model, self._quotas.resume(record.owner), tail=tail)
        generation.on_disconnect.expect(at_least=RETURN_SECONDS if orphan.handed_over else 0.0)

    async def _ordered(self, record: StreamRecord, *, is_read: bool) -> tuple[Model | None, Order | None]:
        """What is left to generate, and the model that is to do it."""
        while True:
            model = self._models.get(record.model)
            order = await order_of(self._store, record, model, self._reading, is_read=is_read)
            # The models may have changed while the log was read.
            if order is None or self._models.get(record.model) is model:
                return model, order

    def _note_end(self, record: StreamRecord, end: Failed) -> None:
        self._observer.observe(
            GenerationEnded(
                stream=record.id,
                model=record.model,
                principal=record.owner,
                status="failed",
                code=end.error.code,
                duration_s=max(0.0, self._now() - record.created_at),
                first_token_s=None,
                prompt_tokens=end.usage.prompt_tokens,
                completion_tokens=end.usage.completion_tokens,
            )
        )


def _entered(model: Model | None, account: str) -> Ticket | None:
    try:
        return model.admission.enter(account) if model is not None else None
    except QueueFull:
        return None


async def order_of(
    store: Store, record: StreamRecord, model: Model | None, reading: asyncio.Semaphore, *, is_read: bool = False
) -> Order | None:
    """What is left to generate; None where no model can continue it, or no reader is left.

    With a grace of 0 the only caller left together with the process, unless the stream `is_read` at another one. A
    generation that was queued has cost nothing yet, and begins. One that was running continues from its text, if its
    model can do that, as soon as its log may be read (`reading`).
    """
    if model is None or record.request is None or (record.grace == 0 and not is_read):
        return None
    if not record.running:
        return Order(record.request, record.owner, record.grace)
    if not model.can_continue:
        return None
    async with reading:
        folded = await fold(store, record.id)
    if folded.reasoning or folded.tool_calls or folded.last is None:
        # No model can continue in the middle of reasoning or of a tool call.
        return None
    carried = Carried(folded.text, folded.pieces)
    return Order(msgspec.structs.replace(record.request, carried=carried), record.owner, record.grace, running=True)


def _interrupted(tail: int) -> Failed:
    error = Interrupted("the process that filled the stream stopped before its end")
    return failed(error, Usage(0, tail - 1, tail - 1, estimated=True))
