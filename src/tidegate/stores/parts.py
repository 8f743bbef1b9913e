"""What one node counts: its part of each count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from tidegate.stores.cluster import Count

Part = int | dict[str, int]
"""A number, or numbers by member. Each live stream has two counts; a dict of one member would be most of the memory it
takes."""


class Parts:
    """One node's parts of all counts, by what is counted and by key. What is 0 takes no memory."""

    __slots__ = ("_tables",)

    def __init__(self) -> None:
        self._tables: dict[Count, dict[str, Part]] = {}

    def of(self, what: Count, key: str) -> Part:
        """The part of one count."""
        return self._tables.get(what, {}).get(key, 0)

    def number(self, what: Count, key: str, member: str) -> int:
        """The part of one count that is the member's."""
        part = self.of(what, key)
        if isinstance(part, int):
            return 0 if member else part
        return part.get(member, 0)

    def put(self, what: Count, key: str, member: str, number: int) -> None:
        """Replaces the member's number."""
        table = self._tables.setdefault(what, {})
        part = table.get(key, 0)
        if isinstance(part, int) and not member:
            now: Part = number
        else:
            now = part if isinstance(part, dict) else {"": part} if part else {}
            if number:
                now[member] = number
            else:
                now.pop(member, None)
        if now:
            table[key] = now
        else:
            table.pop(key, None)

    def counted(self) -> list[tuple[Count, str]]:
        """The counts that the node has a part in."""
        return [(what, key) for what, table in self._tables.items() for key in table]

    def __iter__(self) -> Iterator[tuple[Count, str, str, int]]:
        for what, table in self._tables.items():
            for key, part in table.items():
                for member, number in ({"": part} if isinstance(part, int) else part).items():
                    yield what, key, member, number


def sums(parts: Iterable[Part]) -> Mapping[str, int]:
    """The sums of parts by member."""
    found: Counter[str] = Counter()
    for part in parts:
        if part:
            found.update({"": part} if isinstance(part, int) else part)
    return found


def total(parts: Iterable[Part]) -> int:
    """The sum of parts over all members."""
    return sum(part if isinstance(part, int) else sum(part.values()) for part in parts)
