from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import msgspec
import pytest

from .checker import check
from .history import (
    TERMINAL,
    Append,
    Created,
    Event,
    History,
    Kept,
    Lease,
    Look,
    Outage,
    Problem,
    Reading,
    Stream,
    decode,
    encode,
)

RECORDED = (Path(__file__).parent / "recorded.json").read_bytes()
"""Of seed 1086: two kills, cancels, a stream whose producer is usurped, a reader with a cursor that never was."""


@pytest.fixture
def history() -> History:
    return decode(RECORDED)


def rules(history: History) -> set[str]:
    return {violation.rule for violation in check(history)}


def places(history: History) -> Iterator[tuple[Reading, int]]:
    for reading in history.readings:
        for index in range(len(reading.events)):
            yield reading, index


def missed(history: History, alter: str) -> list[str]:
    """Where an alteration of one event of one reader is not caught; whoever is asked leaves the history as it was."""
    found: list[str] = []
    for reading, index in places(history):
        # Alone, since all others are looked at each time.
        alone = deepcopy(reading)
        alone.events = altered(reading.events, index, alter)
        if alone.events != reading.events and not check(msgspec.structs.replace(history, readings=[alone])):
            found.append(f"{alter} {index} of {reading.name}")
    return found


def altered(events: list[Event], index: int, alter: str) -> list[Event]:
    event = events[index]
    match alter:
        case "dropped":
            return [*events[:index], *events[index + 1 :]]
        case "doubled":
            return [*events[:index], event, *events[index:]]
        case "swapped":
            return [*events[:index], *reversed(events[index : index + 2]), *events[index + 2 :]]
        case _:
            changed = msgspec.structs.replace(event, data={**event.data, "text": "something else"})
            return [*events[:index], changed, *events[index + 1 :]] if event.type in ("delta", "snapshot") else events


def own(history: History) -> str:
    """A stream that a client has filled, with two leases."""
    return next(lease.stream for lease in history.leases if lease.number == 2)


def test_a_run_without_violation_is_judged_so(history: History) -> None:
    """What a good server did under kills and cancels has no violation."""
    assert check(history) == []
    assert len(history.readings) > 10
    assert {event.type for reading in history.readings for event in reading.events} > {"gap", "snapshot", "delta"}


@pytest.mark.parametrize("alter", ["dropped", "doubled", "swapped", "changed"])
def test_one_event_that_is_not_as_in_the_log_is_caught(history: History, alter: str) -> None:
    """An event dropped, doubled, swapped with the next one or changed is caught, whichever it is, whoever read it."""
    assert missed(history, alter) == []


def test_a_missing_end_is_caught(history: History) -> None:
    """A reader that never had the end is caught, whether it knows or not; so is a log without its end."""
    for reading in history.readings:
        kept = reading.events
        reading.events = [event for event in kept if event.type not in TERMINAL]
        if len(reading.events) != len(kept):
            assert "missing end" in rules(history)
        reading.ended, reading.events = False, kept
        assert "missing end" in rules(history)
        reading.ended = True
    for kept_log in history.logs:
        kept_log.events = kept_log.events[:-1]
        assert "one end" in rules(history)
        break


def test_two_ends_are_caught(history: History) -> None:
    """A log that goes on after its end is caught."""
    log = history.logs[0]
    last = log.events[-1]
    log.events.append(Event(last.type, last.data, f"{last.epoch}-{last.offset + 1}"))
    assert "one end" in rules(history)


def test_an_append_with_a_replaced_lease_is_caught(history: History) -> None:
    """An append that was accepted with a lease after another had been given out is caught."""
    second = next(append for append in history.appends if append.status == 200 and append.lease == 2)
    second.lease = 1
    assert rules(history) == {"unfenced append"}


def test_an_append_with_a_lease_that_never_was_is_caught(history: History) -> None:
    """An append that was accepted with a made-up lease is caught."""
    next(append for append in history.appends if append.status == 200).lease = 0
    assert "unfenced append" in rules(history)


def late(sent_at: float, outages: list[Outage]) -> History:
    """An append, sent at this time with a lease of half a second that was given at 1 s."""
    end = {"finish_reason": "stop"}
    log = [
        Event("started", {"id": "gen_1"}, "a-1"),
        Event("delta", {"text": "x"}, "a-2"),
        Event("completed", end, "a-3"),
    ]
    return History(
        seed=0,
        streams=[Stream("gen_1", "o0", "own", "x", {"completed"})],
        logs=[Kept("gen_1", log)],
        leases=[Lease("gen_1", 1, 0.5, 1.0)],
        outages=outages,
        appends=[
            Append(
                stream="gen_1",
                lease=1,
                expected=1,
                events=[{"type": "delta", "data": {"text": "x"}}, {"type": "completed", "data": end}],
                first_sent_at=sent_at,
                sent_at=sent_at,
                answered_at=sent_at + 0.1,
                status=200,
                cursor="a-3",
            )
        ],
    )


def test_an_append_after_its_lease_was_over_is_caught() -> None:
    """An append that was accepted long after its lease had run out is caught; one in time is not."""
    assert rules(late(1.4, [])) == set()
    assert rules(late(2.6, [])) == {"unfenced append"}


def test_a_lease_outlives_an_outage() -> None:
    """A lease that could not be renewed counts from the end of the outage on."""
    assert rules(late(4.0, [Outage(1.2, 3.0)])) == set()
    assert rules(late(4.6, [Outage(1.2, 3.0)])) == {"unfenced append"}
    assert rules(late(4.0, [Outage(2.9, 3.0)])) == {"unfenced append"}


def test_an_acknowledged_append_that_is_gone_is_caught(history: History) -> None:
    """An acknowledged append that the log has elsewhere, otherwise or not at all is caught."""
    accepted = [append for append in history.appends if append.status == 200]
    for append in accepted:
        append.expected += 1
        assert "lost append" in rules(history)
        append.expected -= 1
        append.cursor, cursor = "other-2", append.cursor
        assert "lost append" in rules(history)
        append.cursor = cursor


def test_what_was_shown_and_taken_back_is_caught(history: History) -> None:
    """A log that lost its latest events, or has others under another epoch, is caught by what readers saw."""
    stream = next(reading.stream for reading in history.readings if len(reading.events) > 20)
    log = next(kept for kept in history.logs if kept.stream == stream)
    kept_events = log.events
    log.events = [*kept_events[:10], msgspec.structs.replace(kept_events[-1], id=f"{kept_events[-1].epoch}-11")]
    assert "taken back" in rules(history)
    log.events = [
        *kept_events[:10],
        *(Event(event.type, event.data, f"zzz-{event.offset}") for event in kept_events[10:]),
    ]
    assert "taken back" in rules(history)


def test_an_answer_that_did_not_hold_is_caught(history: History) -> None:
    """A status, a cursor or a text that was answered and is not so in the end is caught."""
    look = next(look for look in history.looks if look.text and look.status in TERMINAL)
    for field, value, rule in (
        ("status", "completed" if look.status == "cancelled" else "cancelled", "end changed"),
        ("cursor", f"{look.cursor}0", "taken back"),
        ("text", "another", "taken back"),
    ):
        history.looks = [msgspec.structs.replace(look, **{field: value})]
        assert rules(history) == {rule}


def test_a_log_that_changes_at_rest_is_caught(history: History) -> None:
    """A log that reads otherwise after a restart is caught."""
    changed = deepcopy(history.logs[0])
    changed.events[1] = Event("delta", {"text": "?"}, changed.events[1].id)
    history.logs.insert(0, changed)
    assert "log changed" in rules(history)


def test_a_key_of_two_streams_is_caught(history: History) -> None:
    """One idempotency key that led to two streams is caught."""
    first, second = (kept.stream for kept in history.logs[:2])
    history.created += [Created("key", first, 0.0), Created("key", second, 1.0)]
    assert rules(history) == {"one key, two streams"}


def test_a_stream_that_is_gone_is_caught(history: History) -> None:
    """A stream whose creation was answered, and which has no log, is caught."""
    history.created.append(Created("", "gen_gone", 0.0))
    assert rules(history) == {"lost stream"}


def test_a_gap_without_reason_is_caught(history: History) -> None:
    """A reader whose cursor is kept is not told of a gap; one whose cursor is not kept is."""
    reading = next(reading for reading in history.readings if reading.after is None and reading.events)
    reading.events.insert(0, Event("gap", {"from": "a-1", "to": "a-0"}, "a-0"))
    assert "gap" in rules(history)
    reading.events.pop(0)
    reading.after = "never-7"
    assert "gap" in rules(history)


def test_a_text_of_another_stream_is_caught(history: History) -> None:
    """A stream that holds another's words is caught, and so is one that completed too early."""
    stream = next(stream for stream in history.streams if "completed" in stream.ends and stream.text)
    stream.text = f"other {stream.text}"
    assert "wrong text" in rules(history)
    log = [Event("started", {"id": "g"}, "a-1"), Event("delta", {"text": "a"}, "a-2"), Event("completed", {}, "a-3")]
    early = History(0, streams=[Stream("g", "g", "replay", "a b", {"completed"})], logs=[Kept("g", log)])
    assert rules(early) == {"wrong text"}


def test_an_end_without_reason_is_caught(history: History) -> None:
    """A stream that ended otherwise than its faults allow is caught."""
    history.streams[0].ends = {"failed:no_such_code"}
    assert rules(history) == {"wrong end"}


def test_an_end_that_took_too_long_is_caught(history: History) -> None:
    """A reader that waited for an interrupted stream's end longer than a lease, a second and some is caught."""
    interrupted = {
        kept.stream for kept in history.logs if kept.events[-1].data.get("error", {}).get("code") == "interrupted"
    } & {stream.id for stream in history.streams if stream.kind != "own"}
    reading = next(reading for reading in history.readings if reading.stream in interrupted)
    first, last = reading.events[0], reading.events[-1]
    history.mended_at = first.at
    for waited, found in ((history.lease_seconds + 2.9, set[str]()), (history.lease_seconds + 3.1, {"late end"})):
        reading.events[-1] = msgspec.structs.replace(last, at=first.at + waited)
        assert rules(history) == found


def test_what_the_harness_met_itself_is_a_violation() -> None:
    """A server that died is in the verdict."""
    assert rules(History(0, problems=[Problem("server died", "server", "exit code 1")])) == {"server died"}


def test_a_history_is_the_same_after_a_file(history: History) -> None:
    """A history can be written, read and judged again."""
    history.looks.append(Look("gen_x", "list", 1.0, "running", "a-1"))
    assert decode(encode(history)) == history
