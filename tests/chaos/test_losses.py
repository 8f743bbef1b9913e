from __future__ import annotations

import msgspec
import pytest

from .checker import check
from .history import Append, Created, Event, Failover, History, Kept, Look, Outage, Published, Reading, Stream

END = {"finish_reason": "stop", "usage": {}}

LOG = [
    Event("started", {"id": "gen_1"}, "a-1"),
    Event("delta", {"text": "x"}, "a-2"),
    Event("delta", {"text": " y"}, "b-3"),
    Event("completed", END, "b-4"),
]
"""What is left after a failover: a position after `a-2` is lost."""

FAILOVER = Failover(1.0, 1.5)

LOST = Event("delta", {"text": " lost"}, "a-3", at=1.2)
GAP = Event("gap", {"from": "a-3", "to": "b-2"}, "b-2", at=1.8)


def sent(*events: Event) -> History:
    """A reader of that log that was sent these events, and its end."""
    reading = Reading("r", "gen_1", events=list(events), ended=True, asked_again=204)
    return History(
        0,
        streams=[Stream("gen_1", "g0", "replay", "x y", {"completed"})],
        logs=[Kept("gen_1", LOG)],
        readings=[reading],
        failovers=[FAILOVER],
    )


def rules(history: History) -> set[str]:
    return {violation.rule for violation in check(history)}


def test_what_a_replica_never_had_may_be_lost_under_a_gap() -> None:
    """A reader may have seen it, where a gap says so before anything else comes; so it may where there is no more."""
    assert rules(sent(*LOG[:2], LOST, GAP, *LOG[2:])) == set()
    lost_end = Event("completed", END, "a-4", at=1.3)
    assert rules(sent(*LOG[:2], LOST, lost_end)) == set()


def test_a_gap_may_follow_a_snapshot_of_what_a_node_has_given_back_since() -> None:
    """A replica may lack what the snapshot showed, until the node that has it has appended it again."""
    shown = Event("snapshot", {"text": "x y"}, "b-3", at=1.2)
    gap = Event("gap", {"from": "b-3", "to": "a-0"}, "a-0", at=1.4)
    assert rules(sent(shown, gap, *LOG)) == set()
    assert rules(sent(msgspec.structs.replace(shown, at=0.5), gap, *LOG)) == {"gap"}


@pytest.mark.parametrize("at", [0.9, 4.0])
def test_what_a_replica_had_is_not_lost(at: float) -> None:
    """What was acknowledged before a failover, or long after, is in the log."""
    assert rules(sent(*LOG[:2], msgspec.structs.replace(LOST, at=at), GAP, *LOG[2:])) >= {"taken back"}


def test_nothing_is_lost_without_a_failover() -> None:
    """Redis that comes back with its own data has all that it has acknowledged."""
    history = sent(*LOG[:2], LOST, GAP, *LOG[2:])
    history.failovers = []
    assert rules(history) >= {"taken back", "gap"}


def test_what_is_lost_in_silence_is_caught() -> None:
    """The next event stands for another one than the reader takes it for."""
    assert rules(sent(*LOG[:2], LOST, LOG[3])) == {"lost in silence"}
    assert rules(sent(*LOG[:2], LOST, *LOG[2:])) == {"lost in silence"}


def test_a_gap_that_skips_what_is_kept_is_caught() -> None:
    """So is one where nothing is lost."""
    skips = Event("gap", {"from": "a-3", "to": "b-3"}, "b-3", at=1.8)
    assert rules(sent(*LOG[:2], LOST, skips, LOG[3])) == {"gap"}
    assert rules(sent(*LOG[:2], GAP, *LOG[2:])) == {"gap"}


def test_a_doubled_event_is_caught_behind_a_gap_too() -> None:
    """What follows the gap comes once."""
    assert rules(sent(*LOG[:2], LOST, GAP, LOG[2], LOG[2], LOG[3])) == {"order"}
    assert rules(sent(*LOG[:2], LOST, LOST, GAP, *LOG[2:])) == {"order"}


def test_an_end_that_was_promised_is_still_needed() -> None:
    """Whoever was told that there is no more, and stands where the log has lost something, was told wrongly."""
    assert rules(sent(*LOG[:2], LOST)) == {"missing end"}


@pytest.mark.parametrize(("at", "expected"), [(1.2, set[str]()), (0.9, {"lost append", "taken back", "lost stream"})])
def test_acknowledgements_may_be_lost_at_a_failover_only(at: float, expected: set[str]) -> None:
    """An append, what was said of a stream, and a stream with all that clients met of it."""
    append = Append("gen_1", 1, 2, [{"type": "delta", "data": {"text": "z"}}], at, at, at, 200, cursor="a-3")
    history = msgspec.structs.replace(
        sent(*LOG),
        appends=[append],
        looks=[Look("gen_1", "cancel", at, "cancelled", "a-3")],
        created=[Created("key", "gen_2", at), Created("key", "gen_1", 2.0)],
    )
    history.readings.append(Reading("q", "gen_2", refused=404 if at > 1 else None))
    assert rules(history) - {"unfenced append", "one key, two streams"} == expected


def test_a_message_may_be_lost_at_a_failover_only() -> None:
    """Its members were sent it, and are told of the gap."""
    log = [Event("message", {"data": number}, f"a-{number}") for number in (1, 2)]
    log.append(Event("message", {"data": 4}, "b-3"))
    lost = Event("message", {"data": 3}, "a-3", at=1.2)
    member = Reading("m", "room", events=[*log[:2], lost, GAP, log[2]])
    history = History(
        0,
        published=[Published("room", 3, "a-3", 1.2)],
        rooms=[Reading("the harness", "room", events=log)],
        members=[member],
        failovers=[FAILOVER],
    )
    assert rules(history) == set()
    member.events.remove(GAP)
    assert rules(history) == {"topic order"}
    member.events = log
    assert rules(history) == set()
    history.published[0].at = 0.5
    assert rules(history) == {"lost message"}


def interrupted(ended_at: float, *outages: Outage) -> set[str]:
    """What is found where a stream was ended as interrupted at this time, with a lease of a second."""
    failed = Event("failed", {"error": {"code": "interrupted"}}, "a-3")
    return rules(
        History(
            0,
            lease_seconds=1.0,
            streams=[Stream("gen_1", "g0", "replay", "x y", {"failed:interrupted"}, ended_at)],
            logs=[Kept("gen_1", [*LOG[:2], failed])],
            outages=list(outages),
        )
    )


def test_a_late_takeover_is_caught() -> None:
    """A lease and a second after the node was gone, or later where Redis was away, too."""
    killed = Outage(1.0, 5.0, 0, "kill")
    assert interrupted(3.6, killed) == set()
    assert interrupted(3.8, killed) == {"late end"}
    assert interrupted(3.8, killed, Outage(2.0, 2.5, 1, "redis_kill")) == set()
    assert interrupted(5.3, killed, Outage(2.0, 2.5, 1, "redis_kill")) == {"late end"}


def test_an_early_takeover_is_caught() -> None:
    """Not before Redis has answered for a lease again, but for a node that ends what it fills itself, or was gone."""
    silence, killed = Outage(1.0, 3.0, 0, "redis_pause_long"), Outage(1.5, 5.0, 0, "kill")
    assert interrupted(3.8, killed, silence) == set()
    assert interrupted(3.6, killed, silence) == {"early end"}
    assert interrupted(1.2, killed, silence) == set()
    assert interrupted(3.6, killed, silence, Outage(3.4, 3.9, 1, "drain")) == set()
    assert interrupted(3.6, Outage(0.5, 5.0, 0, "kill"), silence) == set()
    assert interrupted(3.6, killed, Outage(2.7, 3.0, 0, "redis_pause_short")) == set()
