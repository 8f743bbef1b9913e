"""Fills one stream: appends what its provider emits to the store, and ends the stream exactly once."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence

from tidegate.core.events import (
    TERMINAL_TYPES,
    Appendable,
    Completed,
    Content,
    Delta,
    GenerationRequest,
    Terminal,
    Usage,
)
from tidegate.core.traceback import forget
from tidegate.errors import (
    Interrupted,
    ProviderError,
    StorageFull,
    StoreUnavailable,
    TidegateError,
    TooLong,
    UpstreamEmpty,
    UpstreamRefused,
    UpstreamUnreachable,
)
from tidegate.observe.base import Failure, Observer
from tidegate.observe.metrics.pace import Pace
from tidegate.providers.base import Provider
from tidegate.stores.base import Store
from tidegate.stores.records import Fence
from tidegate.streams.ending import failed, write_end
from tidegate.streams.inbox import Inbox
from tidegate.streams.timing import Timing

HIGH_WATER = 1024
"""How many events may wait for the store before the provider has to pause; a store without I/O never gets there."""

UNREAD = (UpstreamUnreachable, UpstreamRefused, UpstreamEmpty)
"""Errors which, before the first token, mean that no model has read the prompt: its tokens cost nothing."""

INBOX_CAPACITY = 256
"""How many events native threads may be ahead of the loop: some hundred milliseconds of the fastest models."""


class Producer:
    """The `Sink` of one generation.

    `answered` is done once the provider has accepted the request, or with the error if the stream failed before;
    `ended` is done with the terminal event once the store has it. Neither ever raises.
    """

    __slots__ = (
        "__weakref__",
        "_carried",
        "_clock",
        "_counted",
        "_ending",
        "_fence",
        "_in_flight",
        "_inbox",
        "_loop",
        "_observer",
        "_pace",
        "_pending",
        "_providing",
        "_read",
        "_request",
        "_room",
        "_store",
        "_tail",
        "_timing",
        "_writing_end",
        "answered",
        "ended",
        "failure",
        "first_piece_at",
        "full",
        "is_let_go",
        "pieces",
    )

    def __init__(
        self,
        store: Store,
        fence: Fence,
        tail: int,
        request: GenerationRequest,
        *,
        observer: Observer,
        clock: Callable[[], float],
        timing: Timing,
        pace: Pace,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.answered: Future[TidegateError | None] = loop.create_future()
        self.ended: Future[Terminal] = loop.create_future()
        self.failure: TidegateError | None = None
        self.is_let_go = False  # another node fills the stream
        self.pieces = request.carried.pieces if request.carried is not None else 0
        self._carried = self.pieces
        self.first_piece_at: float | None = None
        self._loop = loop
        self._store = store
        self._fence = fence
        self._tail = tail
        self._request = request
        self._read = self._carried > 0
        self._counted: Usage | None = None
        self._observer = observer
        self._clock = clock
        self._timing = timing
        self._pace = pace
        self._pending: list[Appendable] = []
        self._in_flight: Future[int] | None = None
        self._writing_end: asyncio.Task[None] | None = None
        self._ending = False
        self.full = False
        self._room = asyncio.Event()
        self._room.set()
        self._inbox: Inbox[Content | Completed] | None = None
        self._providing: asyncio.Task[None] | None = None

    async def run(self, provider: Provider) -> None:
        """Lets the provider answer, and ends the stream with whatever comes of it.

        Returns when the provider has stopped, or has failed to stop within `timing.stop` after the stream's end.
        """
        if self._ending:
            return
        self._read = True
        self._providing = task = self._loop.create_task(self._generate(provider))
        try:
            await asyncio.wait((task, self.ended), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait((task,), timeout=self._timing.stop)
        finally:
            task.cancel()
            if self._inbox is not None:
                self._inbox.close()
        if not task.done() and not (await asyncio.wait((task,), timeout=self._timing.stop))[0]:
            error = TimeoutError("the provider has not stopped after the end of its stream")
            self._observer.observe(Failure("provider", error, stream=self._fence.stream))

    async def _generate(self, provider: Provider) -> None:
        try:
            try:
                await provider.generate(self._request, self)
            finally:
                self._providing = None
        except asyncio.CancelledError:
            # Cancelled by us, after `end`, or else by the loop or the provider: then the stream still needs an end.
            self.fail(Interrupted("the provider was stopped before the answer was complete"))
        except TidegateError as error:
            if isinstance(error, UNREAD) and self.pieces == self._carried:
                self._read = self._carried > 0
            self.fail(error)
        except BaseException as error:
            # Also what is no `Exception`: a user's code must neither stop the server nor leave a stream without an end.
            self._observer.observe(Failure("provider", error, stream=self._fence.stream))
            self.fail(ProviderError(f"the provider raised {type(error).__name__}"))
        else:
            self.end(Completed("stop", self.usage_so_far()))

    @property
    def ending(self) -> bool:
        """Whether the stream's end is decided, though the store may not have it yet."""
        return self._ending

    def fail(self, error: TidegateError) -> None:
        """Ends the stream as `failed`, unless it has another end already."""
        if not self._ending:
            forget(error)
            self.failure = error
            self.end(failed(error, self.usage_so_far()))

    def end(self, terminal: Terminal) -> None:
        """Appends the terminal event and stops the provider; the first call wins, later ones do nothing."""
        if self._ending:
            return
        self._ending = True
        self._pending.append(terminal)
        self._flush()
        self._stop_provider()

    def let_go(self, error: TidegateError | None = None) -> None:
        """Stops without writing an end: another node writes it."""
        self.is_let_go = self._ending = True
        self._pending = []
        self.failure = self.failure or error or Interrupted("another node fills this stream now")
        self._finish(failed(self.failure, self.usage_so_far()))
        self._stop_provider()
        if self._writing_end is not None:
            self._writing_end.cancel()

    def usage_so_far(self) -> Usage:
        """What the provider has counted, or an estimate: a piece is a token, and the prompt counts once it was read."""
        if self._counted is not None:
            return self._counted
        prompt = self._request.prompt_tokens if self._read else 0
        return Usage(prompt, self.pieces, prompt + self.pieces, estimated=True)

    # The `Sink`

    def opened(self) -> None:
        self._answer(None)

    def emit(self, events: Sequence[Content | Completed]) -> None:
        if self._ending or not events:
            return
        completed: Completed | None = None
        self._answer(None)
        before = self.pieces
        for event in events:
            if isinstance(event, Completed):
                completed = completed or event
            else:
                self._pending.append(event)
                # A delta without text has only carried the `extra` beside it.
                self.pieces += not isinstance(event, Delta) or event.text != ""
        if self.pieces > before:
            self._count(self.pieces - before)
        if completed is not None:
            self._ending = True
            self._pending.append(completed)
        self._flush()

    def emit_deltas(self, deltas: Sequence[bytes]) -> None:
        if self._ending:
            return
        if self.first_piece_at is None:
            self._answer(None)
        self.pieces += len(deltas)
        self._count(len(deltas))
        if self._in_flight is None and not self._pending:
            self._append(deltas)
        else:
            self._pending += deltas
            self._watch_the_water()

    def _count(self, pieces: int) -> None:
        now = self._clock()
        if self.first_piece_at is None:
            self.first_piece_at = now
        self._pace.came(pieces, now)

    def counted(self, usage: Usage) -> None:
        self._counted = usage

    async def room(self) -> None:
        await self._room.wait()

    def inbox(self) -> Inbox[Content | Completed]:
        if self._inbox is None:
            self._inbox = Inbox(INBOX_CAPACITY, self.emit, self._loop)
        return self._inbox

    async def settled(self) -> None:
        if self._inbox is not None:
            await self._inbox.settled()

    # Appending: one append is under way at a time; events that come meanwhile go into the next one together.

    def _flush(self) -> None:
        while self._pending and self._in_flight is None and not self.ended.done():
            batch, self._pending = self._pending, []
            self._append(batch)
        self._watch_the_water()

    def _append(self, batch: Sequence[Appendable]) -> None:
        try:
            answer = self._store.append(batch, fence=self._fence, expected=self._tail)
        except Exception as error:
            self._refused(error, batch)
            return
        if isinstance(answer, Future):
            self._in_flight = answer
            answer.add_done_callback(lambda done: self._answered(done, batch))
        elif self._ending:
            self._appended(batch, answer)
        else:
            self._tail = answer

    def _answered(self, done: Future[int], batch: Sequence[Appendable]) -> None:
        self._in_flight = None
        error = done.exception()
        if error is not None:
            self._refused(error, batch)
        else:
            self._appended(batch, done.result())
        self._flush()

    def _appended(self, batch: Sequence[Appendable], tail: int) -> None:
        self._tail = tail
        if isinstance(end := batch[-1], TERMINAL_TYPES):
            self._finish(end)

    def _refused(self, error: BaseException, batch: Sequence[Appendable]) -> None:
        """Ends the stream with what it has, since the store has refused to append the batch.

        A store that cannot write is asked again until it takes the end: nobody else would write it, and readers wait
        for it. Events that cannot be encoded are the provider's fault, and the end is written without them. Any other
        refusal means that the stream is not ours.
        """
        if isinstance(error, StoreUnavailable):
            self._observer.observe(Failure("store", error, stream=self._fence.stream))
        elif not isinstance(error, TidegateError):
            self._observer.observe(Failure("store", error, stream=self._fence.stream))
            self._counted = None
            error = ProviderError("the provider's events cannot be kept")
        elif not isinstance(error, TooLong | StorageFull):
            self._lost(error)
            return
        forget(error)
        self._ending = True
        self._pending = []
        unsure = batch if isinstance(error, StoreUnavailable) else ()
        if unsure and isinstance(end := unsure[-1], TERMINAL_TYPES):
            unsure = unsure[:-1]
        else:
            self.failure = self.failure or error
            end = failed(self.failure, self.usage_so_far())
        self._writing_end = self._loop.create_task(self._write_end(end, unsure))
        self._stop_provider()

    async def _write_end(self, end: Terminal, unsure: Sequence[Appendable]) -> None:
        while not self.ended.done():
            try:
                await write_end(self._store, self._fence, self._tail, end, unsure=unsure, retry=self._timing.retry)
            except TidegateError as error:
                self._refused(error, [end])
                return
            except Exception as error:
                # No other node would fare better, and it would ask its provider first.
                self._observer.observe(Failure("store", error, stream=self._fence.stream))
                await asyncio.sleep(self._timing.retry[-1])
            else:
                self._finish(end)

    def _lost(self, error: TidegateError) -> None:
        """Stops filling a stream that is no longer ours; the node that fills it now ends it."""
        self._observer.observe(Failure("store", error, stream=self._fence.stream))
        self.let_go(error)

    def _stop_provider(self) -> None:
        if self._providing is not None:
            self._providing.cancel()

    def _finish(self, end: Terminal) -> None:
        self.full = False
        self._room.set()
        self._answer(self.failure)
        if self._inbox is not None:
            self._inbox.close()
        if not self.ended.done():
            self.ended.set_result(end)

    def _answer(self, failure: TidegateError | None) -> None:
        if not self.answered.done():
            self.answered.set_result(failure)

    def _watch_the_water(self) -> None:
        full = len(self._pending) >= HIGH_WATER
        if full == self.full:
            return
        self.full = full
        if full:
            self._room.clear()
        else:
            self._room.set()
        if self._inbox is not None:
            self._inbox.pause() if full else self._inbox.resume()
