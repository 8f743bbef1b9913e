"""The port between the engine and the providers that fill generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tidegate.core.events import Completed, Content, GenerationRequest, Usage


class ThreadInbox(Protocol):
    """A bounded buffer through which native threads, one or many, put events into a stream."""

    def put(self, event: Content | Completed, /) -> None:
        """Adds one event, from any thread but the loop's. Waits while the buffer is full.

        Raises `StreamEnded` once the stream takes no more events: the thread should stop its work.
        """
        ...


class Sink(Protocol):
    """Where a provider puts its events. All methods run on the event loop's thread."""

    def opened(self) -> None:
        """Says that the provider has accepted the request; an error from now on becomes a `failed` event.

        OpenAI paths answer 200 only after this (`emit` implies it).
        """
        ...

    def emit(self, events: Sequence[Content | Completed]) -> None:
        """Appends the events together and wakes the readers once. Never blocks; call it from callbacks too.

        `Completed` is the last event; events emitted after the stream's end are dropped. The JSON form of each is one
        line (`core.events.one_line`).
        """
        ...

    def emit_deltas(self, deltas: Sequence[bytes]) -> None:
        """Emits plain deltas that are in their JSON form (`core.events.PLAIN_DELTA`) already."""
        ...

    def counted(self, usage: Usage) -> None:
        """Reports the usage counted so far, which replaces the estimate if the answer ends in another way."""
        ...

    @property
    def full(self) -> bool:
        """Whether `room` would wait: a cheap check for callbacks, which then stop reading."""
        ...

    async def room(self) -> None:
        """Waits until the store has taken enough of what was emitted. Await it between bursts."""
        ...

    def inbox(self) -> ThreadInbox:
        """A buffer that native threads may fill; their events are emitted here, in order per thread."""
        ...

    async def settled(self) -> None:
        """Waits until all events that threads have put into the inbox are emitted."""
        ...


class Provider(Protocol):
    """Fills generations. One instance serves one entry of `[[models]]`, or one upstream of it, concurrently."""

    async def start(self) -> None:
        """Gets ready; called once before the first `generate`. Raises `ConfigError` where the settings make it fail."""
        ...

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Emits the answer and returns after its end; without a `Completed`, the answer ends with `stop`.

        Raises `ProviderError` (or a subclass) when it fails, before or after the first token, with `unasked` set where
        it is certain that no work has begun. Cancelling the task must stop the work within a second: close the upstream
        connection, stop the native decode.
        """
        ...

    async def close(self) -> None:
        """Frees the provider's resources. Running generations have been cancelled before."""
        ...
