"""The native calls on topics: publish, follow, and see who is there."""

from __future__ import annotations

from tidegate.dialects import native_events, native_topic
from tidegate.errors import TooManyReaders
from tidegate.routes.call import Call, check_flag, claim_of
from tidegate.transports.sse import send_events


async def publish(call: Call) -> None:
    """Appends a message to the topic."""
    name = call.params["name"]
    wanted = await call.read(native_topic.parse)
    claim = await claim_of(call, f"topics {name}", native_topic.identity_of(wanted.type, wanted.state, wanted.data))
    cursor = await call.service.topics.publish(
        name, wanted.data, call.principal, type=wanted.type, state=wanted.state, claim=claim
    )
    await call.answer_json(native_topic.Published(str(cursor)))


async def follow(call: Call) -> None:
    """Answers with the messages after the caller's position, and those to come."""
    query = call.query()
    check_flag(query, "events", "message")
    dialect = native_events.MESSAGES if "events" in query else native_events.EVENTS
    first = native_events.interval(call.context.heartbeat_seconds)
    topic = f"topic {call.params['name']}"
    how = call.delivered({}, topic, dialect, dialect.begin(), together=True, first=first)
    try:
        reader, subscribed = await call.service.topics.subscribe(
            call.params["name"],
            call.principal,
            after=_position(call, query),
            transport="sse",
            max_seconds=call.context.max_connection_seconds,
        )
    except TooManyReaders as error:
        await call.answer_reconnect(error)
        return
    reader.tell(subscribed)
    with call.connected(reader, "sse") as connection:
        connection.serve()
        await send_events(call.receive, call.send, call.wire, reader, how)


async def presence(call: Call) -> None:
    """Answers with the principals that are subscribed."""
    present = call.service.topics.presence(call.params["name"], call.principal)
    await call.answer_json([native_topic.Present(*each) for each in present])


def _position(call: Call, query: dict[str, str]) -> native_topic.Place:
    text, param = call.position(query) or (None, "after")
    return native_topic.parse_place(text, param=param)
