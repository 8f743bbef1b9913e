"""Counts requests that were closed without an answer, so that their sender finds out who has repeated them."""

from __future__ import annotations

from typing import Any

MOST_NAMES = 16
"""How many names of one principal are remembered: a client asks about one at a time."""

MOST_PRINCIPALS = 256
"""How many principals are remembered, with some 200 bytes for each name: 1 MB at the most."""

KEPT_SECONDS = 120.0
"""How long a name is remembered: who repeats a request does so at once, or after a time-out of a minute."""


class Drops:
    """The counts of one node, by principal and name. Clocks are in seconds; what is oldest is forgotten first."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, tuple[int, float]]] = {}

    def add(self, principal: str, name: str, now: float) -> None:
        """Counts one more request of this name."""
        names = self._names.pop(principal, {})
        self._names[principal] = names
        count, since = names.pop(name, (0, now))
        names[name] = (1, now) if _is_over(since, now) else (count + 1, since)
        _keep(names, MOST_NAMES)
        _keep(self._names, MOST_PRINCIPALS)

    def count(self, principal: str, name: str, now: float) -> int:
        """How many requests of this name have come in the last minutes."""
        count, since = self._names.get(principal, {}).get(name, (0, now))
        return 0 if _is_over(since, now) else count


def _is_over(since: float, now: float) -> bool:
    return since + KEPT_SECONDS <= now


def _keep(entries: dict[str, Any], most: int) -> None:
    if len(entries) > most:
        del entries[next(iter(entries))]
