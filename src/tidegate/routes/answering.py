"""How a call is answered with a stream: a reader is attached, registered, delivered and closed, which stands here once.

A socket follows many streams at a time, and does the same in `socket_follows`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from tidegate.core.batching import BatchPolicy
from tidegate.delivery.sse import Delivered, send_events
from tidegate.delivery.until_end import wait_for_end
from tidegate.errors import TidegateError, TooManyReaders
from tidegate.routes.call import Call
from tidegate.streams.live import Handle
from tidegate.streams.quotas import Slot
from tidegate.streams.reader import Reader


class Feed(msgspec.Struct):
    """What a call is to be sent, and the reader of it, which is attached when that is awaited.

    `accepted` waits until the answer may begin. It returns False where the call was answered otherwise, or its client
    has gone.
    """

    attaching: Awaitable[Reader]
    how: Delivered
    accepted: Callable[[Reader], Awaitable[bool]] | None = None


async def answer_events(call: Call, preparing: Awaitable[Feed | None]) -> None:
    """Answers with the events of a feed; with nothing where there is none, since the call was answered already.

    A caller with too many readers is told to come back. Whatever fails once there is a reader closes it.
    """
    feed = await preparing
    if feed is None:
        return
    try:
        reader, how, accepted = await feed.attaching, feed.how, feed.accepted
    except TooManyReaders as error:
        await call.answer_reconnect(error)
        return
    # A coroutine that is over still has its frame, and this one lasts as long as the answer.
    del preparing, feed
    with call.connected(reader, "sse") as connection:
        if accepted is None or await accepted(reader):
            connection.serve()
            await send_events(call.receive, call.send, call.wire, reader, how)


async def answer_whole(
    call: Call,
    handle: Handle,
    seat: Slot,
    answer: Callable[[TidegateError | None], Awaitable[None]],
    *,
    returns: bool = True,
) -> None:
    """Waits until the stream has ended, and has it answered as a whole; `answer` is given what it failed with.

    `returns` is as in `Service.follow`. What goes wrong is answered with the headers by which the stream is to be
    found; a client that leaves is answered nothing. Whatever fails closes the reader.
    """
    stream = handle.stream
    reader = await call.service.follow(
        stream, call.principal, after=None, batch=BatchPolicy(), transport="json", returns=returns, seat=seat
    )
    with call.connected(reader, "json") as connection:
        connection.serve()
        try:
            if await wait_for_end(call.receive, reader):
                await answer(await call.service.failure(handle))
        except TidegateError as error:
            await call.answer_error(error, headers=stream_headers(call, stream))


def stream_headers(call: Call, stream: str) -> dict[str, str]:
    """The headers that say where the stream is to be found again, whatever becomes of this answer."""
    call.about(stream)
    return {"location": f"{call.base}/v1/streams/{stream}", "tidegate-stream": stream}
