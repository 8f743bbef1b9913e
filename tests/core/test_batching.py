from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.batching import Batcher, BatchPolicy, merge
from tidegate.core.events import Completed, Delta, Event, Reasoning, Started, Usage
from tidegate.core.fold import Fold
from tidegate.core.log import Entry

END = Completed("stop", Usage(1, 1, 2))
events = st.one_of(
    st.text(max_size=3).map(Delta),
    st.text(max_size=3).map(Reasoning),
    st.just(Started("gen_1", "m", 1.0)),
)


def entries(*items: Event, first: int = 1) -> list[Entry]:
    return [Entry.of("aaaa", first + index, item) for index, item in enumerate(items)]


@given(st.lists(events))
def test_merging_changes_nothing_that_is_read(items: list[Event]) -> None:
    """The merged log folds to the same text and ends at the same position."""
    log = entries(*items)
    plain, merged = Fold(), Fold()
    plain.add(log)
    merged.add(merge(log))
    assert (merged.text, merged.reasoning) == (plain.text, plain.reasoning)
    assert (merged.last and merged.last.cursor) == (plain.last and plain.last.cursor)


def test_a_merged_delta_stands_at_its_last_position() -> None:
    """Whoever leaves after a merged delta comes back behind all of it."""
    assert merge(entries(Delta("a"), Delta("b"), END)) == [Entry.of("aaaa", 2, Delta("ab")), Entry.of("aaaa", 3, END)]


def test_without_a_policy_every_piece_goes_at_once() -> None:
    """One piece a batch is no batching: nothing waits and nothing is merged."""
    batcher = Batcher(BatchPolicy())
    pieces = entries(Delta("a"), Delta("b"))
    assert batcher.add(pieces, 0.0) == pieces


def test_a_full_batch_goes_at_once() -> None:
    """The batch that reaches `max_tokens` does not wait for its delay."""
    batcher = Batcher(BatchPolicy(3, 1000))
    assert batcher.add(entries(Delta("a"), Delta("b")), 0.0) == []
    assert batcher.add(entries(Delta("c"), first=3), 0.1) == entries(Delta("a"), Delta("b"), Delta("c"))


def test_the_delay_counts_from_the_oldest_piece() -> None:
    """A piece waits for `max_delay_ms` at the most, however many come after it."""
    batcher = Batcher(BatchPolicy(100, 50))
    batcher.add(entries(Delta("a")), 10.0)
    batcher.add(entries(Delta("b"), first=2), 10.04)
    assert batcher.deadline() == 10.05
    assert batcher.flush() == entries(Delta("a"), Delta("b"))
    assert batcher.deadline() == float("inf")


def test_the_last_piece_is_never_held_back() -> None:
    """The end of the stream takes what waits with it."""
    batcher = Batcher(BatchPolicy(100, 1000))
    batcher.add(entries(Delta("a")), 0.0)
    assert batcher.add(entries(END, first=2), 0.0) == [Entry.of("aaaa", 1, Delta("a")), Entry.of("aaaa", 2, END)]
