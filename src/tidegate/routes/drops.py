"""Counts requests that were closed without an answer, so that their sender finds out who has repeated them."""

from __future__ import annotations

from typing import Any

from tidegate.core.bucket import TokenBucket
from tidegate.errors import RateLimited

AT_ONCE = 4
"""How many requests of all callers together a node leaves unanswered at once. To a proxy each is a failure of the node,
which it may pass over then, for everybody, for as long as it takes failed nodes for dead."""

AGAIN_SECONDS = 5.0
"""After so long there may be one more: longer than proxies commonly pass a node over for one failure."""

MOST_NAMES = 16
"""How many names of one principal are remembered: a client asks about one at a time."""

MOST_PRINCIPALS = 256
"""How many principals are remembered, with some 200 bytes for each name: 1 MB at the most."""

KEPT_SECONDS = 120.0
"""How long a name is remembered: who repeats a request does so at once, or after a time-out of a minute."""

REFUSAL = f"the server leaves {AT_ONCE} requests unanswered at once, and one more every {AGAIN_SECONDS:g} seconds"


class Drops:
    """The counts of one node, by principal and name. Clocks are in seconds; what is oldest is forgotten first."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, tuple[int, float]]] = {}
        self._bucket = TokenBucket(1 / AGAIN_SECONDS, AT_ONCE, 0.0)

    def add(self, principal: str, name: str, now: float) -> None:
        """Counts one more request of this name. Raises `RateLimited`: then it is to be answered."""
        if not self._bucket.take(1, now):
            raise RateLimited(REFUSAL, retry_after=self._bucket.wait(1, now))
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
