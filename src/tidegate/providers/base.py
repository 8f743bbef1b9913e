"""The port between the engine and what fills generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tidegate.core.events import Completed, Content, GenerationRequest, Usage


class ThreadInbox(Protocol):
    """The way into a stream for native threads: a bounded buffer that many of them may fill."""

    def put(self, event: Content | Completed, /) -> None:
        """Adds one event, from any thread but the loop's. Waits while the buffer is full.

        Raises `StreamEnded` once the stream takes no more events: the thread should stop its work.
        """
        ...


class Sink(Protocol):
    """Where a provider puts its events. All of it runs on the event loop's thread."""

    def opened(self) -> None:
        """Says that the provider has accepted the request; what goes wrong from now on is a `failed` event.

        OpenAI paths answer 200 only after this (`emit` implies it).
        """
        ...

    def emit(self, events: Sequence[Content | Completed]) -> None:
        """Appends the events together and wakes the readers once. Never blocks; call it from callbacks too.

        `Completed` is the last event; what is emitted after the stream's end is dropped.
        """
        ...

    def counted(self, usage: Usage) -> None:
        """Says what the provider has counted so far; it stands for the estimate if the answer gets another end."""
        ...

    @property
    def full(self) -> bool:
        """Whether `room` would wait: a cheap look for callbacks, which then stop reading."""
        ...

    async def room(self) -> None:
        """Waits until the store has taken enough of what was emitted. Await it between bursts."""
        ...

    def inbox(self) -> ThreadInbox:
        """A buffer that native threads may fill; what they put is emitted here, in order per thread."""
        ...

    async def settled(self) -> None:
        """Waits until everything that threads have put into the inbox is emitted."""
        ...


class Provider(Protocol):
    """Fills generations. One instance serves one entry of `[[models]]`, or one upstream of it, concurrently."""

    async def start(self) -> None:
        """Gets ready; called once before the first `generate`. Raises `ConfigError` where it never can be."""
        ...

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Emits the answer and returns after its end; without a `Completed` of its own it ends with `stop`.

        Raises `ProviderError` (or a subclass) when it fails, before or after the first token; `unasked` where it is
        certain that no work has begun. Cancelling the task must stop the work within a second: close the upstream
        connection, stop the native decode.
        """
        ...

    async def close(self) -> None:
        """Frees what it holds. Running generations have been cancelled before."""
        ...
