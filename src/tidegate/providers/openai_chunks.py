"""Reads the event stream of a chat completion. Pure: bytes in, events out.

The shape is that of OpenAI's "chat completion chunk"; only what is needed of it is parsed. Servers differ in
what they leave out, so everything is optional.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from tidegate.core.events import Completed, Content, Delta, FinishReason, Reasoning, ToolCall, Usage
from tidegate.core.sse import Decoder, ServerSentEvent
from tidegate.errors import ProviderError, UpstreamInterrupted, UpstreamMalformed

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


NO_ERROR = msgspec.Raw(b"null")


class FunctionFragment(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class ToolFragment(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: FunctionFragment | None = None


class ChunkDelta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolFragment] | None = None
    function_call: FunctionFragment | None = None


class Choice(msgspec.Struct):
    index: int = 0
    delta: ChunkDelta | None = None
    finish_reason: str | None = None


class ChunkUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice] | None = None
    usage: ChunkUsage | None = None
    error: msgspec.Raw = NO_ERROR
    object: str | None = None

    @property
    def failed(self) -> bool:
        """An error instead of a chunk: `{"error": …}`, or vLLM's `{"object": "error", …}`."""
        return self.object == "error" or (self.error is not NO_ERROR and bytes(self.error) != b"null")


_parse = msgspec.json.Decoder(Chunk).decode


class ChunkReader:
    """Turns the body of one answer into events, under any chunking.

    `refused` makes the exception of an error sent in the stream (its JSON); `estimate` counts the prompt's
    tokens where the upstream does not; `settle` makes the usage of the answer of what this part of it took. Once
    `error` or `ended` is set, what follows is not looked at.
    """

    def __init__(
        self,
        refused: Callable[[str], ProviderError],
        estimate: Callable[[], int],
        settle: Callable[[Usage], Usage] = lambda usage: usage,
    ) -> None:
        self._refused = refused
        self._estimate = estimate
        self._settle = settle
        self._decoder = Decoder()
        self._usage: ChunkUsage | None = None
        self._pieces = 0
        self.finish_reason: FinishReason | None = None
        self.error: ProviderError | None = None
        self.ended = False

    def feed(self, data: bytes) -> list[Content | Completed]:
        """The events that `data` completes, in order, those before an error too; `[DONE]` brings `Completed`."""
        events: list[Content | Completed] = []
        try:
            # A fast model's tokens come one in a read: it is worth not to look at those bytes twice.
            sole = None if self.ended else self._decoder.sole(data)
            if sole is not None and (chunk := _parsed(sole)) is not None and not chunk.failed:
                self._take(chunk, events)
                return events
            for event in self._decoder.feed(data):
                if self.ended:
                    break
                if event.data.startswith("[DONE]"):
                    self.ended = True
                    events.append(self._completed())
                else:
                    self._take(self._chunk(event), events)
        except ProviderError as error:
            self.error = error
        return events

    def end(self) -> Completed:
        """The end without `[DONE]`, which many servers leave out. Raises `UpstreamInterrupted` in mid-answer."""
        if self.finish_reason is None:
            raise UpstreamInterrupted("The upstream's answer broke off before its end.")
        self.ended = True
        return self._completed()

    def _take(self, chunk: Chunk, into: list[Content | Completed]) -> None:
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            # One answer is one stream; a second choice (`n` above 1) has no place in it.
            if choice.index != 0:
                continue
            if choice.delta is not None:
                before = len(into)
                into.extend(pieces(choice.delta))
                self._pieces += len(into) - before
            if choice.finish_reason:
                self.finish_reason = FINISH_REASONS.get(choice.finish_reason, "stop")

    def _chunk(self, event: ServerSentEvent) -> Chunk:
        try:
            chunk = _parse(event.data)
        except msgspec.DecodeError as error:
            if event.event == "error":
                raise self._refused(event.data) from error
            raise UpstreamMalformed("The upstream sent a chunk that is not a chat completion's.") from error
        if chunk.failed or event.event == "error":
            raise self._refused(event.data)
        return chunk

    def _completed(self) -> Completed:
        return Completed(self.finish_reason or "stop", self._settle(self._counted(self._usage)))

    def _counted(self, usage: ChunkUsage | None) -> Usage:
        if usage is None or usage.completion_tokens is None:
            prompt = self._estimate()
            return Usage(prompt, self._pieces, prompt + self._pieces, estimated=True)
        prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens
        total = prompt + completion if usage.total_tokens is None else usage.total_tokens
        return Usage(prompt, completion, total)


def _parsed(data: bytes) -> Chunk | None:
    """The chunk, if there is nothing wrong with it."""
    try:
        return _parse(data)
    except msgspec.DecodeError:
        return None


def pieces(delta: ChunkDelta) -> list[Content]:
    """What one delta brings; nothing for the empty ones that only keep the connection alive."""
    found: list[Content] = []
    if reasoning := delta.reasoning_content or delta.reasoning:
        found.append(Reasoning(reasoning))
    if text := delta.content or delta.refusal:
        found.append(Delta(text))
    if delta.tool_calls or delta.function_call:
        found.extend(_calls(delta))
    return found


def _calls(delta: ChunkDelta) -> Iterator[ToolCall]:
    for position, fragment in enumerate(delta.tool_calls or ()):
        function = fragment.function or FunctionFragment()
        index = position if fragment.index is None else fragment.index
        yield ToolCall(index, fragment.id, function.name, function.arguments or "")
    if delta.function_call is not None:
        yield ToolCall(0, None, delta.function_call.name, delta.function_call.arguments or "")
