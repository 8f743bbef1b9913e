"""A live generation in this process: its place in the queue, its producer and its owner readers."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Literal

import msgspec

from tidegate.core.events import Cancelled, CancelledBy, Completed, Failed, GenerationRequest, Terminal
from tidegate.errors import InternalError, TidegateError
from tidegate.observe.base import Failure, GenerationEnded, GenerationStarted, Observer
from tidegate.providers.base import Provider
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Fence
from tidegate.streams.admission import Ticket
from tidegate.streams.attendance import Attendance
from tidegate.streams.producer import Producer
from tidegate.streams.quotas import Allowance


class Order(msgspec.Struct, frozen=True):
    """What is to be generated, for whom, and what happens when its owner readers leave (`Attendance`)."""

    request: GenerationRequest
    owner: str
    grace: float | None


class Generation:
    """What the service holds of a stream while a provider of this process fills it, after the offset `tail`.

    `clock` is in seconds.
    """

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        fence: Fence,
        order: Order,
        ticket: Ticket,
        allowance: Allowance,
        tail: int,
        *,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self.stream = fence.stream
        self.owner = order.owner
        self.model = order.request.model
        self.producer = Producer(store, fence, tail, order.request, observer=observer, clock=clock)
        self.ticket = ticket
        self.attendance = Attendance(cluster, fence.stream, order.grace, self._abandoned)
        self._allowance = allowance
        self._store = store
        self._fence = fence
        self._order = order
        self._observer = observer
        self._clock = clock
        self._created = clock()

    @property
    def position(self) -> int | None:
        """The place in the queue, from 1; None when it does not wait."""
        return self.ticket.position

    @property
    def ended(self) -> Future[Terminal]:
        """Done with the terminal event once the store has it."""
        return self.producer.ended

    async def run(self, provider: Provider) -> None:
        """Waits for its turn, lets the provider answer, and returns when the stream has ended.

        Only a server that cannot wait for that cancels it. Its caller has its place back then, too.
        """
        usage = None
        try:
            await self._take_turn(provider)
            end = await self.producer.ended
            usage = end.usage
            if not self.producer.is_let_go:
                self._note_end(end)
        finally:
            self._allowance.settle((usage or self.producer.usage_so_far()).total_tokens)

    def cancel(self, by: CancelledBy, reason: str | None) -> None:
        """Ends the stream as `cancelled`, unless it has another end already."""
        self.producer.end(Cancelled(by, reason, self.producer.usage_so_far()))
        self.ticket.turn.set()

    def fail(self, error: TidegateError) -> None:
        """Ends the stream as `failed`, unless it has another end already."""
        self.producer.fail(error)
        self.ticket.turn.set()

    def let_go(self) -> None:
        """Stops without an end: another node fills the stream from now on, or is about to."""
        self.producer.let_go()
        self.ticket.turn.set()

    async def _take_turn(self, provider: Provider) -> None:
        try:
            await self.ticket.turn.wait()
            if self.ticket.refusal is not None:
                raise self.ticket.refusal
            if not self.producer.ending:
                await self._begin(provider)
        except TidegateError as error:
            self.fail(error)
        except Exception as error:
            self._observer.observe(Failure("streams", error, stream=self.stream))
            self.fail(InternalError("the server failed"))
        finally:
            self.ticket.release()
            self.attendance.close()

    async def _begin(self, provider: Provider) -> None:
        waited = self._clock() - self._created
        self._observer.observe(GenerationStarted(self.stream, self._order.request.model, self.owner, waited))
        await self._store.mark_running(self._fence)
        await self.producer.run(provider)

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
