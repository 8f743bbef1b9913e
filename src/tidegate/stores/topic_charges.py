"""What topics are charged for: each event to whoever published it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tidegate.stores.ledger import Ledger

TOPIC_BYTES = 2048
"""What a topic takes besides its events: charged to each who has published some of them."""


class TopicCharges:
    """By topic and sender. What `reserve` has charged is told to `add`, once it is in the topic, as `reserved`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._charged: dict[str, Counter[str]] = {}
        # Those with one sender, by that one; what was published to last is last.
        self._only: dict[str, dict[str, None]] = {}

    def reserve(self, sender: str, size: int) -> None:
        """Charges what is about to be published. Raises `StorageFull`."""
        self._ledger.reserve(sender, size, live=False)

    def release(self, sender: str, size: int) -> None:
        """What was reserved was not published after all."""
        self._ledger.charge(sender, -size, live=False)

    def add(self, topic: str, sender: str, size: int, *, reserved: bool = False) -> None:
        """The topic holds so much more of the sender's, or less."""
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
        """Nothing of the topic is kept any more."""
        charged = self._charged.pop(topic, Counter[str]())
        for sender, size in charged.items():
            self._ledger.charge(sender, -size, live=False)
            self._forget(sender, topic)

    def take(self, topic: str, charged: Mapping[str, int]) -> None:
        """What the topic holds of whom, in place of what was known of it."""
        self.drop(topic)
        for sender, size in charged.items():
            self.add(topic, sender, size - TOPIC_BYTES)

    def clear(self) -> None:
        """Nothing is kept any more."""
        self._charged.clear()
        self._only.clear()

    def only_of(self, sender: str) -> Sequence[str]:
        """The topics that hold nothing but the sender's, those that it has published to least lately first."""
        return tuple(self._only.get(sender, ()))

    def of(self, topic: str) -> Counter[str]:
        """What the topic holds of whom."""
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
