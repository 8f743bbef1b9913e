"""The native calls on topics: publish, follow, and list who is present."""

from __future__ import annotations

from collections.abc import Awaitable

from tidegate.dialects import native_topic
from tidegate.dialects.native_events import EVENTS, MESSAGES, interval
from tidegate.routes.answering import Feed, answer_events
from tidegate.routes.call import Call, check_flag, claim_of
from tidegate.streams.reader import Reader


async def publish(call: Call) -> None:
    """Appends a message to the topic."""
    name = call.params["name"]
    wanted = await call.read(native_topic.parse)
    claim = await claim_of(call, f"topics {name}", native_topic.identity_of(wanted.type, wanted.state, wanted.data))
    cursor = await call.service.topics.publish(
        name, wanted.data, call.principal, type=wanted.type, state=wanted.state, claim=claim
    )
    await call.answer_json(native_topic.Published(str(cursor)))


def follow(call: Call) -> Awaitable[None]:
    """Answers with the messages after the caller's position, and those to come."""
    return answer_events(call, _feed(call))


async def _feed(call: Call) -> Feed:
    query = call.query()
    check_flag(query, "events", "message")
    dialect = MESSAGES if "events" in query else EVENTS
    first = interval(call.context.heartbeat_seconds)
    topic = f"topic {call.params['name']}"
    how = call.delivered({}, topic, dialect, dialect.begin(), together=True, first=first)
    return Feed(_subscribed(call, _position(call, query)), how)


async def _subscribed(call: Call, after: native_topic.StartingPoint) -> Reader:
    reader, subscribed = await call.service.topics.subscribe(
        call.params["name"],
        call.principal,
        after=after,
        transport="sse",
        max_seconds=call.context.max_connection_seconds,
    )
    reader.tell(subscribed)
    return reader


async def presence(call: Call) -> None:
    """Answers with the principals that are subscribed."""
    present = call.service.topics.presence(call.params["name"], call.principal)
    await call.answer_json([native_topic.Present(*each) for each in present])


def _position(call: Call, query: dict[str, str]) -> native_topic.StartingPoint:
    text, param = call.position(query) or (None, "after")
    return native_topic.parse_place(text, param=param)
