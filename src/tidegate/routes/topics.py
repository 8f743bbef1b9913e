"""The native calls on topics: publish, follow, and see who is there."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from tidegate.dialects import native, native_topic
from tidegate.errors import TooManyReaders
from tidegate.routes.call import Call, check_flag, claim_of
from tidegate.streams.quotas import Place
from tidegate.transports.sse import send_events


async def publish(call: Call) -> None:
    """Appends a message to the topic."""
    name = call.params["name"]
    wanted = native_topic.parse(await call.body())
    cursor = await call.service.topics.publish(
        name,
        wanted.data,
        call.principal,
        type=wanted.type,
        state=wanted.state,
        claim=claim_of(call, f"topics {name}", msgspec.json.encode(wanted)),
    )
    await call.answer_json(native_topic.Published(str(cursor)))


def follow(call: Call) -> Awaitable[None]:
    """Answers with the messages after the caller's position, and those to come."""
    query = call.query()
    check_flag(query, "events", "message")
    header = call.header(b"last-event-id")
    after = native_topic.parse_place(header, param="Last-Event-ID") if header else None
    after = after or native_topic.parse_place(query.get("after"))
    try:
        seat = call.service.seat(call.principal)
    except TooManyReaders as error:
        return call.answer_reconnect(error)
    return _follow(call, after, native.MESSAGES if "events" in query else native.EVENTS, seat)


async def presence(call: Call) -> None:
    """Answers with the principals that are subscribed."""
    present = call.service.topics.presence(call.params["name"], call.principal)
    await call.answer_json([native_topic.Present(*each) for each in present])


async def _follow(call: Call, after: native_topic.Place, encoder: native.NativeEvents, seat: Place) -> None:
    name = call.params["name"]
    with seat:
        reader, subscribed = await call.service.topics.subscribe(
            name,
            call.principal,
            after=after,
            transport="sse",
            max_seconds=call.context.max_connection_seconds,
            seat=seat,
        )
        reader.tell(subscribed)
        sharing = (reader.stream, encoder is native.MESSAGES)
        how = call.delivered({}, sharing, encoder=encoder)
    with call.connected(reader, "sse") as connection:
        connection.serve()
        await send_events(call.receive, call.send, call.wire, reader, encoder, how)
