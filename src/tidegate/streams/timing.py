"""How long the engine waits for others before it acts on its own."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidegate.streams.ending import RETRY_SECONDS
from tidegate.streams.readers import PARTING_SECONDS

STOP_SECONDS = 5.0
"""For a provider's clean-up after its stream's end; its place in the queue is given to the next one then."""

TOLD_AGAIN_SECONDS = 0.25
"""Whoever fills a stream is told so often that it is to end, until it has."""


class Timing(msgspec.Struct, frozen=True):
    """Times in seconds.

    The engine waits `retry` between attempts to write what a store could not write, `stop` for a provider's clean-up,
    `parting` for what is still live when the server stops, and `told_again` before it repeats to another node that a
    stream is to end.
    """

    retry: Sequence[float] = RETRY_SECONDS
    stop: float = STOP_SECONDS
    parting: float = PARTING_SECONDS
    told_again: float = TOLD_AGAIN_SECONDS


DEFAULT_TIMING = Timing()
