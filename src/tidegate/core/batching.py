"""Merging of deltas, and micro-batches that are bounded in pieces and in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET

from tidegate.core.events import Delta, Reasoning
from tidegate.core.log import Entry


class BatchPolicy(msgspec.Struct, frozen=True):
    """Send when `max_tokens` pieces wait or the oldest has waited for `max_delay_ms`, whichever is first."""

    max_tokens: int = 1
    max_delay_ms: int = 0


def merge(entries: Iterable[Entry]) -> list[Entry]:
    """Joins neighbouring deltas (and reasoning) into one entry at the position of the last one joined.

    A piece with an `extra` is not joined, since the extra belongs to that very piece.
    """
    merged: list[Entry] = []
    run: list[Entry] = []
    texts: list[Delta | Reasoning] = []
    for entry in entries:
        event = entry.event
        if run and type(event) is not type(texts[0]):
            merged.append(_joined(run, texts))
            run, texts = [], []
        if isinstance(event, Delta | Reasoning) and event.extra is UNSET:
            run.append(entry)
            texts.append(event)
        else:
            merged.extend((*([_joined(run, texts)] if run else ()), entry))
            run, texts = [], []
    if run:
        merged.append(_joined(run, texts))
    return merged


def joined(entries: Sequence[Entry]) -> int:
    """How many of these entries `merge` joins to another one."""
    found = 0
    last: type | None = None
    for entry in entries:
        event = entry.event
        kind = type(event) if isinstance(event, Delta | Reasoning) and event.extra is UNSET else None
        found += kind is not None and kind is last
        last = kind
    return found


class Batcher:
    """Holds text back until a batch is full, its delay is over, or something other than text follows.

    `now` is in seconds on any clock that does not go backwards.
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._waiting: list[Entry] = []
        self._since = 0.0

    def add(self, entries: Sequence[Entry], now: float) -> list[Entry]:
        """Takes new entries and returns those to be sent at once; a policy of one piece returns all of them."""
        if self._policy.max_tokens == 1:
            return list(entries)
        if not self._waiting:
            self._since = now
        self._waiting.extend(entries)
        last_is_text = bool(entries) and isinstance(entries[-1].event, Delta | Reasoning)
        if not last_is_text or len(self._waiting) >= self._policy.max_tokens or self.deadline() <= now:
            return self.flush()
        return []

    def deadline(self) -> float:
        """When the waiting entries must be sent; infinite when none wait."""
        return self._since + self._policy.max_delay_ms / 1000 if self._waiting else float("inf")

    def flush(self) -> list[Entry]:
        """Returns the waiting entries, not merged: the dialect that encodes a batch merges it."""
        waiting, self._waiting = self._waiting, []
        return waiting


def _joined(run: list[Entry], texts: list[Delta | Reasoning]) -> Entry:
    last = run[-1]
    if len(run) == 1:
        return last
    return Entry.of(last.epoch, last.offset, type(texts[0])("".join(event.text for event in texts)))
