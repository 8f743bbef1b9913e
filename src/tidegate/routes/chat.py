"""OpenAI's chat completions, served by streams."""

from __future__ import annotations

from functools import partial
from typing import Any

from tidegate.core.events import GenerationRequest
from tidegate.delivery.departure import unless_gone
from tidegate.dialects import openai_chat
from tidegate.dialects.openai_chat_chunks import ChatChunks
from tidegate.dialects.openai_chat_whole import WholeAnswer
from tidegate.errors import TidegateError
from tidegate.routes.answering import Feed, answer_events, answer_whole, stream_headers
from tidegate.routes.call import Call
from tidegate.streams.live import Handle
from tidegate.streams.quotas import Slot
from tidegate.streams.reader import Reader


async def complete(call: Call) -> None:
    """Answers as OpenAI does; with 200 only after the provider has accepted the request."""
    chat, request = await call.read(openai_chat.parse)
    grace = openai_chat.parse_on_disconnect(call.header(b"tidegate-on-disconnect"))
    with call.service.seat(call.principal) as seat:
        if chat.stream:
            await answer_events(call, _feed(call, request, grace, seat, ChatChunks(chat.include_usage)))
            return
        handle = await call.service.start(request, owner=call.principal, grace=grace)
        await answer_whole(call, handle, seat, partial(_answer_whole, call, handle.stream), returns=False)


async def _feed(call: Call, request: GenerationRequest, grace: float | None, seat: Slot, dialect: ChatChunks) -> Feed:
    handle = await call.service.start(request, owner=call.principal, grace=grace)
    headers = stream_headers(call, handle.stream)
    how = call.delivered(headers, handle.stream, dialect, dialect.begin(), together=False)
    attaching = call.service.follow(
        handle.stream,
        call.principal,
        after=None,
        batch=call.context.batch,
        transport="sse",
        returns=False,
        seat=seat,
    )
    return Feed(attaching, how, partial(_accepted, call, handle))


async def _accepted(call: Call, handle: Handle, reader: Reader) -> bool:
    """Waits until the provider accepts. False where it refuses, which is answered here, or the client has left."""
    try:
        return await unless_gone(call.receive, reader, call.service.answered(handle))
    except TidegateError as error:
        await call.answer_error(error, headers=stream_headers(call, handle.stream))
        return False


async def _answer_whole(call: Call, stream: str, failure: TidegateError | None) -> None:
    if failure is not None:
        raise failure
    async with call.service.turns.of(stream, call.principal.account):
        await call.answer_json(await _read(call, stream), headers=stream_headers(call, stream))


async def _read(call: Call, stream: str) -> dict[str, Any]:
    record = await call.service.record(stream, call.principal)
    whole = WholeAnswer()
    async for page in call.service.history(stream, call.principal):
        whole.add(page)
    return whole.answer(record.id, record.model, record.created_at, record.end)
