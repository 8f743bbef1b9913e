"""What has come of an upstream's answer, in the words of the table."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from behaviour import PROMPT_TOKENS, Behaviour, Call, Usage
from behaviour_tools import MADE

from tidegate.core.events import Completed, Content, Delta, Reasoning, ToolCall
from tidegate.errors import ProviderError
from tidegate.http_client.connection import ClientConnection
from tidegate.providers.openai.answer import UpstreamAnswer
from tidegate.providers.openai.chunks import ChunkReader
from tidegate.providers.openai.errors import refusal_in_body
from tidegate.testing.sink import RecordingSink


class Outcome(NamedTuple):
    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    error: tuple[str, int] | None = None
    usage: Usage | None = None
    estimated: bool = False


class Wire:
    """A transport that goes nowhere."""

    closing = False

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def relayed(*reads: bytes) -> Outcome:
    """What comes of a response that arrives in these reads, after which the connection is closed."""
    connection = ClientConnection()
    connection.connection_made(cast("asyncio.Transport", Wire()))
    sink = RecordingSink()
    chunks = ChunkReader(lambda said: refusal_in_body(said, ()), lambda: PROMPT_TOKENS, make_id=lambda: MADE)
    answer = UpstreamAnswer(connection, sink, chunks, first_token_timeout=60, stall_timeout=60, secrets=())
    connection.send(b"", answer)
    for data in reads:
        if data:
            connection.data_received(data)
    connection.connection_lost(None)
    try:
        await answer.relay()
    except ProviderError as error:
        return outcome(sink.events, error)
    return outcome(sink.events, None)


def outcome(events: Sequence[Content | Completed], error: ProviderError | None) -> Outcome:
    calls: dict[int, list[str]] = {}
    texts = {"text": "", "refusal": "", "reasoning": ""}
    for event in events:
        if isinstance(event, ToolCall):
            known = calls.setdefault(event.index, ["", "", ""])
            assert not (known[0] and event.id), "an id is told once"
            assert not (known[1] and event.name), "a name is told once"
            known[0] += event.id or ""
            known[1] += event.name or ""
            known[2] += event.arguments
        elif isinstance(event, Reasoning):
            texts["reasoning"] += event.text
        elif isinstance(event, Delta):
            texts["refusal" if event.extra and event.extra.refusal else "text"] += event.text
    end = events[-1] if events and isinstance(events[-1], Completed) else None
    assert (end is None) == (error is not None), "an answer has one end"
    told = cast("tuple[Any, ...]", tuple(tuple(call) for call in calls.values()))
    return Outcome(
        **texts,
        calls=told,
        finish=None if end is None else end.finish_reason,
        error=None if error is None else (error.code, error.status),
        usage=None if end is None else (end.usage.prompt_tokens, end.usage.completion_tokens),
        estimated=end is not None and end.usage.estimated,
    )


def expected(row: Behaviour) -> Outcome:
    """What the row says of the events."""
    failed = row.error is not None
    return Outcome(
        row.text,
        row.refusal,
        row.reasoning,
        row.calls,
        None if failed else row.finish,
        row.error,
        None if failed else usage_of(row),
        estimated=not failed and row.usage is None,
    )


def usage_of(row: Behaviour) -> Usage:
    return row.usage if row.usage is not None else (PROMPT_TOKENS, row.pieces or 0)
