"""The embedded model: llama.cpp in a supervised child process, called by its own HTTP API on loopback.

It is a child process so that neither its crashes nor its hold on the interpreter lock affect delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from msgspec import UNSET

from tidegate.core.events import Completed, Content, Delta, Extra, GenerationRequest, Usage
from tidegate.errors import ProviderCrashed, UpstreamInterrupted, UpstreamRefused, UpstreamUnreachable
from tidegate.providers.base import Sink, ThreadInbox
from tidegate.providers.llama.lanes import Answers, Lanes, Llama, OwnLanes
from tidegate.providers.llama.limits import extra_of, is_shaped, too_slow
from tidegate.providers.llama.shared_lanes import DEATH_SECONDS, SharedLanes
from tidegate.providers.settings import LlamaModel, SharedLlamaModel

MAX_TOKENS = 1024
"""The limit of an answer where the request sets none: a small model may otherwise never end."""

REPEAT_PENALTY = 1.1
"""The penalty where the request sets none: without it SmolLM2 falls into repeating a phrase."""


class LlamaProvider:
    """Serves a .gguf, or the packaged weights, with `parallel` generations at once; further ones wait here."""

    def __init__(self, model: LlamaModel) -> None:
        self.lanes: Lanes = SharedLanes(model) if isinstance(model, SharedLlamaModel) else OwnLanes(model)

    async def start(self) -> None:
        """Loads the model. Raises `ConfigError` where llama.cpp or the weights are missing or damaged."""
        await self.lanes.start()

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Relays one answer; see `Provider.generate`. Raises `ProviderCrashed` when the child dies in mid-answer.

        Raises `UpstreamRefused`, a 400, where the request asks for more than llama.cpp can do in a bounded time.
        """
        extra = extra_of(request)
        ours = asked(request)
        if not is_shaped(extra):
            await self.lanes.plain(partial(_ask, ours, sink))
        elif not await self.lanes.shaped(partial(_relay, ours, PlainSink(sink))):
            raise too_slow(extra)

    async def close(self) -> None:
        """Ends the children and waits for their end."""
        await self.lanes.close()


def asked(request: GenerationRequest) -> GenerationRequest:
    """The request in the form that is sent to llama.cpp."""
    return msgspec.structs.replace(
        request,
        max_tokens=request.max_tokens or MAX_TOKENS,
        extra={"repeat_penalty": REPEAT_PENALTY, **extra_of(request)},
    )


async def _ask(request: GenerationRequest, sink: Sink, llama: Llama, answers: Answers) -> bool:
    """Asks the child. False where it had just died without taking the request: the next child is to be asked."""
    try:
        await _relay(request, PlainSink(sink, answers), llama)
    except UpstreamUnreachable:
        if await llama.died_within(DEATH_SECONDS):
            return False
        raise
    return True


async def _relay(request: GenerationRequest, sink: Sink, llama: Llama) -> None:
    """Relays one answer of the child. Raises `ProviderCrashed` where the child dies in the middle."""
    try:
        await llama.upstream.generate(request, sink)
    except UpstreamRefused as error:
        raise explained(error) from error
    except UpstreamInterrupted as error:
        if await llama.died_within(DEATH_SECONDS):
            raise ProviderCrashed(f"The model's process died in mid-answer with {llama.death}.") from error
        raise


def _plain(event: Content | Completed) -> Content | Completed | None:
    """The event without llama.cpp's progress and timings, which the client did not ask for; None if nothing is left."""
    if isinstance(event, Completed) or event.extra is UNSET:
        return event
    extra = msgspec.structs.replace(event.extra, chunk=UNSET)
    if extra != Extra():
        return msgspec.structs.replace(event, extra=extra)
    return None if isinstance(event, Delta) and not event.text else msgspec.structs.replace(event, extra=UNSET)


class PlainSink:
    """A sink that passes on the answer, without what llama.cpp says of itself; it calls `answers` when tokens come."""

    def __init__(self, sink: Sink, answers: Callable[[], None] = lambda: None) -> None:
        self._sink = sink
        self._answers = answers

    @property
    def full(self) -> bool:
        return self._sink.full

    def opened(self) -> None:
        self._sink.opened()

    def emit(self, events: Sequence[Content | Completed]) -> None:
        self._answers()
        self._sink.emit([event for each in events if (event := _plain(each)) is not None])

    def emit_deltas(self, deltas: Sequence[bytes]) -> None:
        self._answers()
        self._sink.emit_deltas(deltas)

    def counted(self, usage: Usage) -> None:
        self._sink.counted(usage)

    async def room(self) -> None:
        await self._sink.room()

    def inbox(self) -> ThreadInbox:
        return self._sink.inbox()

    async def settled(self) -> None:
        await self._sink.settled()


def explained(error: UpstreamRefused) -> UpstreamRefused:
    """Turns llama.cpp's error for a prompt that is too long into OpenAI's."""
    if error.type != "exceed_context_size_error":
        return error
    return UpstreamRefused(
        f"The prompt is too long for this model: {error.message.removesuffix(', try increasing it')}.",
        type="invalid_request_error",
        code="context_length_exceeded",
        param="messages",
        status=400,
    )
