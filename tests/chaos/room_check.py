"""Judges a topic: one log, whoever publishes and follows where; each message once, in one order.

Pure, and a part of the checker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .history import Event, History, Reading, Violation
from .losses import Losses


def of_room(history: History, room: Reading, losses: Losses) -> Iterator[Violation]:
    """Of the topic that `room` is the last reading of."""
    log = [event for event in room.events if event.type == "message"]
    there = [(event.data["data"], event.id) for event in log]
    for message in history.published:
        found = [at for number, at in there if number == message.number]
        # What was lost may have been published again, by the node whose answer was lost, too.
        excused = len(found) <= 1 and losses.may_hit(message.at)
        if message.topic != room.stream or found == [message.cursor] or excused:
            continue
        what = f"{message.number} was accepted at {message.cursor}; there are {there}"
        yield Violation("lost message", room.stream, what)
    for member in history.members:
        if member.stream == room.stream and (wrong := _wrong(member, log, losses)):
            yield Violation("topic order", member.name, wrong)


def _wrong(member: Reading, log: Sequence[Event], losses: Losses) -> str | None:
    """What a member was sent that the topic does not have there."""
    ids = {event.id for event in log}
    # What the topic was at a failover may be lost also where nothing was said in it: then a gap may come, or not.
    position, has_lost, may_have = 0, False, False
    for event in member.events:
        at_a_failover = losses.may_hit(event.at)
        if event.type == "gap":
            if not (has_lost or may_have):
                return f"a gap at {event.id}, though all before is kept"
            position, has_lost, may_have = event.offset, False, at_a_failover
        elif event.type == "message" and event.id not in ids and at_a_failover:
            has_lost = True
        elif event.type == "message":
            following = next((each for each in log if each.offset > position), None)
            if has_lost or following is None or (event.id, event.data) != (following.id, following.data):
                return f"{event} after {position}, and the topic has {following}"
            position = event.offset
        elif event.type == "subscribed":
            may_have = at_a_failover
    return None
