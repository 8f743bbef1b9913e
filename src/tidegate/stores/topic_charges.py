"""Charges for topics: each event is charged to its sender."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tidegate.stores.ledger import Ledger

TOPIC_BYTES = 2048
"""Bytes of a topic besides its events, charged to each sender of some of them."""


class TopicCharges:
    """Charges by topic and sender. An event that `reserve` has charged is passed to `add`, once the topic has it, as
    `reserved`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._charged: dict[str, Counter[str]] = {}
        # Topics with one sender, by that sender, in the order of their last publication.
        self._only: dict[str, dict[str, None]] = {}

    def reserve(self, sender: str, size: int) -> None:
        """Charges for an event that is about to be published. Raises `StorageFull`."""
        self._ledger.reserve(sender, size, live=False)

    def release(self, sender: str, size: int) -> None:
        """Gives back the charge for an event that was not published after all."""
        self._ledger.charge(sender, -size, live=False)

    def add(self, topic: str, sender: str, size: int, *, reserved: bool = False) -> None:
        """Notes that the topic has `size` bytes more of the sender's; a negative size, that it has less."""
        charged = self._charged.setdefault(topic, Counter())
        known = sender in charged
        charged[sender] += size
        if not reserved:
            self._ledger.charge(sender, size, live=False)
        if not known:
            charged[sender] += TOPIC_BYTES
            self._ledger.charge(sender, TOPIC_BYTES, live=False)
        elif charged[sender] == TOPIC_BYTES:
            del charged[sender]
            self._ledger.charge(sender, -TOPIC_BYTES, live=False)
        if size > 0 or sender not in charged:
            self._note(topic, charged, sender)

    def drop(self, topic: str) -> None:
        """Gives all charges of the topic back, since it is no longer kept."""
        charged = self._charged.pop(topic, Counter[str]())
        for sender, size in charged.items():
            self._ledger.charge(sender, -size, live=False)
            self._forget(sender, topic)

    def take(self, topic: str, charged: Mapping[str, int]) -> None:
        """Replaces the topic's charges by these, by sender."""
        self.drop(topic)
        for sender, size in charged.items():
            self.add(topic, sender, size - TOPIC_BYTES)

    def clear(self) -> None:
        """Forgets all topics, without giving charges back."""
        self._charged.clear()
        self._only.clear()

    def only_of(self, sender: str) -> Sequence[str]:
        """The topics that only this sender has published to, least recently published to first."""
        return tuple(self._only.get(sender, ()))

    def of(self, topic: str) -> Counter[str]:
        """The topic's charges in bytes, by sender."""
        return self._charged.get(topic, Counter())

    def _note(self, topic: str, charged: Counter[str], sender: str) -> None:
        self._forget(sender, topic)
        if len(charged) == 1:
            self._only.setdefault(next(iter(charged)), {})[topic] = None
            return
        for each in charged if len(charged) == 2 else ():
            self._forget(each, topic)

    def _forget(self, sender: str, topic: str) -> None:
        if (topics := self._only.get(sender)) is not None:
            topics.pop(topic, None)
            if not topics:
                del self._only[sender]
