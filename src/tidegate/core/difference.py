"""What differs between two tables of named things."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Difference(msgspec.Struct, frozen=True):
    """The names of what is only in the later table, what is in both and not the same, and what is only in the earlier.

    Each in the order of its table.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> Difference:
    """How the two tables differ."""
    return Difference(
        added=tuple(name for name in after if name not in before),
        changed=tuple(name for name, value in after.items() if name in before and before[name] != value),
        removed=tuple(name for name in before if name not in after),
    )
