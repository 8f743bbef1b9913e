"""A sink that records what a provider emits, to test providers without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from tidegate.core.events import Completed, Content, Delta, Usage
from tidegate.streams.inbox import Inbox

# So small that the threads of a test which put more than a few pieces have to wait.
INBOX_CAPACITY = 16


class RecordingSink:
    """A `Sink` that takes everything at once. It has to be made on the loop's thread.

    `events` are those emitted before the end, `batches` how many each `emit` had, and `is_open` says whether the
    provider has accepted the request. The stream ends with a `Completed`, or by `end()` as a cancel would end it;
    events emitted after that are dropped, and counted in `dropped`. `usage` is the usage counted last.
    """

    def __init__(self) -> None:
        self.events: list[Content | Completed] = []
        self.batches: list[int] = []
        self.dropped = 0
        self.usage: Usage | None = None
        self.is_open = False
        self.ended = False
        self._inbox: Inbox[Content | Completed] = Inbox(INBOX_CAPACITY, self.emit, asyncio.get_running_loop())
        self._changed = asyncio.Event()

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(event.text for event in self.events if isinstance(event, Delta))

    @property
    def completed(self) -> Completed | None:
        """The `Completed` that the provider has emitted, if any."""
        return next((event for event in self.events if isinstance(event, Completed)), None)

    def end(self) -> None:
        """Ends the stream from outside; a thread's next `put` raises."""
        self.ended = True
        self._inbox.close()

    async def holds(self, count: int) -> None:
        """Waits until there are `count` events."""
        while len(self.events) < count:
            self._changed.clear()
            await self._changed.wait()

    # The `Sink`

    @property
    def full(self) -> bool:
        return False

    def opened(self) -> None:
        self.is_open = True

    def emit(self, events: Sequence[Content | Completed]) -> None:
        if self.ended:
            self.dropped += len(events)
            return
        self.is_open = True
        self.events.extend(events)
        self.batches.append(len(events))
        self._changed.set()
        if any(isinstance(event, Completed) for event in events):
            self.end()

    def emit_deltas(self, deltas: Sequence[bytes]) -> None:
        self.emit([msgspec.json.decode(delta, type=Delta) for delta in deltas])

    def counted(self, usage: Usage) -> None:
        self.usage = usage

    async def room(self) -> None:
        pass

    def inbox(self) -> Inbox[Content | Completed]:
        return self._inbox

    async def settled(self) -> None:
        await self._inbox.settled()
