"""Which worker takes connections from which listeners."""

from __future__ import annotations

from collections.abc import Sequence


def assigned(alive: Sequence[bool]) -> list[list[int]]:
    """The listeners of each worker: its own, and those of dead ones, which go to the living in turn.

    A dead worker has none. Where all are dead, clients wait until one lives again.
    """
    listeners: list[list[int]] = [[number] if lives else [] for number, lives in enumerate(alive)]
    living = [number for number, lives in enumerate(alive) if lives]
    dead = [number for number, lives in enumerate(alive) if not lives]
    if living:
        for turn, number in enumerate(dead):
            listeners[living[turn % len(living)]].append(number)
    return listeners
