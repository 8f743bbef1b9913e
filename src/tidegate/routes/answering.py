"""Answers a call with a stream: attaches, registers, delivers and closes its reader, for all routes.

`socket_follows` does the same for sockets, which follow many streams at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from tidegate.core.batching import BatchPolicy
from tidegate.delivery.departure import wait_for_end
from tidegate.delivery.sse import Delivered, send_events
from tidegate.errors import TidegateError, TooManyReaders
from tidegate.routes.call import Call
from tidegate.streams.live import Handle
from tidegate.streams.quotas import Slot
from tidegate.streams.reader import Reader


class Feed(msgspec.Struct):
    """What to send to a call, and an awaitable that attaches the reader of it.

    `accepted` waits until the answer may begin. It returns False where it has answered the call itself, or the client
    has left.
    """

    attaching: Awaitable[Reader]
    how: Delivered
    accepted: Callable[[Reader], Awaitable[bool]] | None = None


async def answer_events(call: Call, preparing: Awaitable[Feed | None]) -> None:
    """Answers with the events of a feed; does nothing where there is no feed, since the call was answered already.

    A caller with too many readers is told to reconnect. Any failure once the reader is attached closes it.
    """
    feed = await preparing
    if feed is None:
        return
    try:
        reader, how, accepted = await feed.attaching, feed.how, feed.accepted
    except TooManyReaders as error:
        await call.answer_reconnect(error)
        return
    # Frees the frame of the finished coroutine: this function runs for as long as the answer.
    del preparing, feed
    connection, detached = call.connected(reader, "sse"), None
    try:
        if accepted is None or await accepted(reader):
            connection.serve()
            detached = await send_events(call.receive, call.send, call.wire, reader, how, call.detach)
    finally:
        if detached is None:
            connection.leave()
        else:
            detached.then(connection.over)


async def answer_whole(
    call: Call,
    handle: Handle,
    seat: Slot,
    answer: Callable[[TidegateError | None], Awaitable[None]],
    *,
    returns: bool = True,
) -> None:
    """Waits until the stream has ended, then answers as a whole by `answer`, which gets the stream's failure or None.

    `returns` is as in `Service.follow`. Errors are answered with the headers that locate the stream; a client that has
    left gets no answer. Any failure closes the reader.
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
    """The headers that locate the stream, so that the client can find it again if this answer breaks off."""
    call.about(stream)
    return {"location": f"{call.base}/v1/streams/{stream}", "tidegate-stream": stream}
