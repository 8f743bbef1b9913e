"""A live generation in this process: its place in the queue, its producer and its owner readers."""

from __future__ import annotations

import asyncio
import os
from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from tidegate.core.events import Cancelled, CancelledBy, Completed, Event, Failed, GenerationRequest, Terminal
from tidegate.core.trace_context import current_trace
from tidegate.errors import Fenced, InternalError, StreamNotFound, TidegateError
from tidegate.observe.base import Failure, GenerationEnded, GenerationStarted, Observer
from tidegate.observe.metrics.meter import Meter
from tidegate.observe.metrics.pace import Pace
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Fence
from tidegate.streams.admission import Ticket
from tidegate.streams.models import Model
from tidegate.streams.on_disconnect import OnDisconnect
from tidegate.streams.producer import Producer
from tidegate.streams.quotas import Allowance
from tidegate.streams.timing import Timing


class Order(msgspec.Struct, frozen=True):
    """What to generate, for which owner, and the `grace` once all owner readers have left (`OnDisconnect`).

    `age` is how many seconds ago the stream was created, where another process has done so. `running` says that the
    stream's record already has it as running: its turn had come when the record was made.
    """

    request: GenerationRequest
    owner: str
    grace: float | None
    running: bool = False
    age: float = 0.0


class Generation:
    """The `LiveStream` that a model of this process fills, after the offset `tail`. `clock` is in seconds."""

    outlives_process = False

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        fence: Fence,
        order: Order,
        model: Model,
        ticket: Ticket,
        allowance: Allowance,
        tail: int,
        *,
        observer: Observer,
        clock: Callable[[], float],
        timing: Timing,
        meter: Meter,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.stream = fence.stream
        self.owner = order.owner
        self._created = clock() - order.age
        self._queued_s: float | None = None
        trace = current_trace.get()
        self._span = None if trace is None else trace.child(random_bytes(8))
        self.producer = Producer(
            store,
            fence,
            tail,
            order.request,
            observer=observer,
            clock=clock,
            timing=timing,
            pace=Pace(meter, model.name, self._created if order.request.carried is None else None),
        )
        self.ticket = ticket
        self.on_disconnect = OnDisconnect(cluster, fence.stream, order.grace, self._abandoned)
        self._model = model
        self._running = order.running
        self._allowance = allowance
        self._store = store
        self._fence = fence
        self._order = order
        self._observer = observer
        self._clock = clock

    @property
    def position(self) -> int | None:
        return self.ticket.position

    @property
    def ended(self) -> Future[Terminal]:
        return self.producer.ended

    @property
    def answered(self) -> Future[TidegateError | None]:
        return self.producer.answered

    @property
    def failure(self) -> TidegateError | None:
        return self.producer.failure

    @property
    def can_move(self) -> bool:
        # A generation that has not begun yet can begin at another node.
        return self._model.can_continue or not self._running

    @property
    def needs_readers(self) -> bool:
        return self._order.grace == 0

    async def run(self) -> None:
        """Waits for its turn, lets the model answer, and returns when the stream has ended.

        Only a server that cannot wait for the end cancels this; the caller's slot is given back in that case, too.
        """
        usage = None
        current_trace.set(self._span)
        try:
            await self._take_turn()
            end = await asyncio.shield(self.producer.ended)
            usage = end.usage
            if not self.producer.is_let_go or isinstance(self.producer.failure, StreamNotFound):
                # What the store has lost nobody else ends.
                self._note_end(end)
        finally:
            if not self.ended.done():
                self.producer.let_go()
            self._allowance.settle((usage or self.producer.usage_so_far()).total_tokens)

    def cancel(self, by: CancelledBy, reason: str | None) -> None:
        self.producer.end(Cancelled(by, reason, self.producer.usage_so_far()))
        self.ticket.turn.set()

    def fail(self, error: TidegateError) -> None:
        self.producer.fail(error)
        self.ticket.turn.set()

    def let_go(self) -> None:
        self.producer.let_go()
        self.ticket.turn.set()

    async def append(self, token: str, expected: int, events: Sequence[Event]) -> tuple[int, bool]:
        raise Fenced("this stream is filled by its model")

    def knows(self, token: str) -> bool:
        return False

    async def renew(self, lease: bytes) -> bool:
        raise Fenced("this stream is filled by its model")

    async def _take_turn(self) -> None:
        try:
            await self.ticket.turn.wait()
            if self.ticket.refusal is not None:
                raise self.ticket.refusal
            if not self.producer.ending:
                await self._begin()
        except TidegateError as error:
            self.fail(error)
        except Exception as error:
            self._observer.observe(Failure("streams", error, stream=self.stream))
            self.fail(InternalError("the server failed"))
        finally:
            self.ticket.release()
            self.on_disconnect.close()

    async def _begin(self) -> None:
        self._queued_s = waited = self._clock() - self._created
        self._observer.observe(GenerationStarted(self.stream, self._order.request.model, self.owner, waited))
        if not self._running:
            self._running = True
            await self._store.mark_running(self._fence)
        await self.producer.run(self._model)

    def _note_end(self, end: Terminal) -> None:
        first = self.producer.first_piece_at
        self._observer.observe(
            GenerationEnded(
                stream=self.stream,
                model=self._order.request.model,
                principal=self.owner,
                status=_status(end),
                code=_code(end),
                duration_s=self._clock() - self._created,
                first_token_s=None if first is None else first - self._created,
                prompt_tokens=end.usage.prompt_tokens,
                completion_tokens=end.usage.completion_tokens,
                provider=self._model.kind,
                queued_s=self._queued_s,
                finish_reason=end.finish_reason if isinstance(end, Completed) else None,
                span=self._span,
            )
        )

    def _abandoned(self) -> None:
        self.cancel("disconnect", "every owner reader has left")


def _status(end: Terminal) -> Literal["completed", "cancelled", "failed"]:
    match end:
        case Completed():
            return "completed"
        case Cancelled():
            return "cancelled"
        case Failed():
            return "failed"


def _code(end: Terminal) -> str | None:
    if isinstance(end, Failed):
        return end.error.code
    return end.by if isinstance(end, Cancelled) else None
