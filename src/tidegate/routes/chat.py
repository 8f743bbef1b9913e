"""OpenAI's chat completions on the same streams."""

from __future__ import annotations

from typing import Any

from tidegate.core.batching import BatchPolicy
from tidegate.dialects import openai_chat
from tidegate.dialects.openai_chat_chunks import ChatChunks
from tidegate.dialects.openai_chat_whole import WholeAnswer
from tidegate.errors import TidegateError
from tidegate.routes.call import Call
from tidegate.routes.streams import stream_headers
from tidegate.streams.live import Handle
from tidegate.streams.reader import Reader
from tidegate.transports.disconnect import unless_gone
from tidegate.transports.sse import send_events
from tidegate.transports.whole import wait_for_end


async def complete(call: Call) -> None:
    """Answers like OpenAI; 200 only after the provider has accepted the request."""
    chat, request = await call.read(openai_chat.parse)
    grace = openai_chat.parse_on_disconnect(call.header(b"tidegate-on-disconnect"))
    with call.service.seat(call.principal) as seat:
        handle = await call.service.start(request, owner=call.principal, grace=grace)
        reader = await call.service.follow(
            handle.stream,
            call.principal,
            after=None,
            batch=call.context.batch if chat.stream else BatchPolicy(),
            transport="sse" if chat.stream else "json",
            returns=False,
            seat=seat,
        )
    with call.connected(reader, "sse" if chat.stream else "json") as connection:
        if not chat.stream:
            connection.serve()
            await _whole(call, handle, reader)
        elif await _accepted(call, handle, reader):
            connection.serve()
            await _stream(call, handle, reader, include_usage=chat.include_usage)


async def _accepted(call: Call, handle: Handle, reader: Reader) -> bool:
    """Waits for the provider's yes; its no is answered here, and nobody is left to answer where the client has gone."""
    try:
        return await unless_gone(call.receive, reader, call.service.answered(handle))
    except TidegateError as error:
        await call.answer_error(error, headers=stream_headers(call, handle.stream))
        return False


async def _stream(call: Call, handle: Handle, reader: Reader, *, include_usage: bool) -> None:
    record = await call.service.record(handle.stream, call.principal)
    await send_events(
        call.receive,
        call.send,
        call.wire,
        reader,
        ChatChunks(record.id, record.model, record.created_at, include_usage=include_usage),
        call.delivered(stream_headers(call, handle.stream), reader),
    )


async def _whole(call: Call, handle: Handle, reader: Reader) -> None:
    headers = stream_headers(call, handle.stream)
    try:
        if not await wait_for_end(call.receive, reader):
            return
        if failure := await call.service.failure(handle):
            raise failure
        async with call.service.turns.of(handle.stream, call.principal.account):
            await call.answer_json(await _read(call, handle.stream), headers=headers)
    except TidegateError as error:
        await call.answer_error(error, headers=headers)


async def _read(call: Call, stream: str) -> dict[str, Any]:
    record = await call.service.record(stream, call.principal)
    whole = WholeAnswer()
    async for page in call.service.history(stream, call.principal):
        whole.add(page)
    return whole.answer(record.id, record.model, record.created_at, record.end)
