"""The streams that models fill: starts them, and runs each generation until its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

from tidegate.core.events import GenerationRequest
from tidegate.core.principal import Principal
from tidegate.observe.base import Observer
from tidegate.observe.metrics.meter import Meter
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Claim, Claimed, Fence, StreamRecord
from tidegate.streams.admission import Ticket
from tidegate.streams.generation import Generation, Order
from tidegate.streams.holding import create
from tidegate.streams.live import Handle, LiveStreams
from tidegate.streams.models import Model
from tidegate.streams.quotas import Allowance, Quotas
from tidegate.streams.timing import Timing


class Generations:
    """Starts generations and adds them to `live`, which the node shares; each has one of the `tasks` until its end.

    `now` is in Unix seconds, `clock` in seconds of any origin.
    """

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        live: LiveStreams,
        quotas: Quotas,
        *,
        observer: Observer,
        now: Callable[[], float],
        clock: Callable[[], float],
        random_bits: Callable[[int], int],
        timing: Timing,
        meter: Meter,
    ) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._store = store
        self._cluster = cluster
        self._live = live
        self._quotas = quotas
        self._observer = observer
        self._now = now
        self._clock = clock
        self._random_bits = random_bits
        self._timing = timing
        self._meter = meter

    async def start(
        self, model: Model, request: GenerationRequest, owner: Principal, grace: float | None, claim: Claim | None
    ) -> Handle:
        """Creates a stream and launches its generation; see `Service.start`."""
        with ExitStack() as undone:
            allowance = self._quotas.admit(owner.account, request)
            undone.callback(allowance.settle, 0)
            ticket = model.admission.enter(owner.account)
            undone.callback(ticket.release)
            record = StreamRecord(
                id=f"gen_{self._random_bits(128):032x}",
                owner=owner.name,
                model=request.model,
                created_at=round(self._now(), 3),
                metadata=request.metadata,
                running=ticket.turn.is_set(),
                request=request,
                grace=grace,
            )
            fence = await create(self._store, self._cluster, record, claim)
            if isinstance(fence, Claimed):
                return Handle(fence.stream, self._live.get(fence.stream))
            undone.pop_all()
        order = Order(request, owner.name, grace, record.running)
        return Handle(record.id, self.launch(fence, order, ticket, model, allowance, tail=1))

    def launch(
        self, fence: Fence, order: Order, ticket: Ticket, model: Model, allowance: Allowance, *, tail: int
    ) -> Generation:
        """Begins to fill the stream after the offset `tail`, once the ticket's turn has come."""
        generation = Generation(
            self._store,
            self._cluster,
            fence,
            order,
            model,
            ticket,
            allowance,
            tail,
            observer=self._observer,
            clock=self._clock,
            timing=self._timing,
            meter=self._meter,
        )
        self._live.add(generation)
        task = asyncio.get_running_loop().create_task(self._run(generation))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return generation

    async def stop(self) -> None:
        """Cancels the generations that are left."""
        stopped: set[asyncio.Task[None]] = set()
        while left := self.tasks - stopped:
            # A task that is cancelled before its first step gives nothing back.
            await asyncio.sleep(0)
            for task in left:
                task.cancel()
            stopped |= left
        await asyncio.gather(*stopped, return_exceptions=True)

    async def _run(self, generation: Generation) -> None:
        try:
            await generation.run()
        finally:
            if not generation.producer.is_let_go:
                self._live.remove(generation)
            elif self._live.discard(generation):
                # It has no end yet, and nobody else may know that.
                await self._cluster.hand_over(generation.stream)
