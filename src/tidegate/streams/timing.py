"""How long the engine waits for providers, stores and other nodes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidegate.streams.ending import RETRY_SECONDS
from tidegate.streams.readers import PARTING_SECONDS

STOP_SECONDS = 5.0
"""The time for a provider's clean-up after its stream's end; after it, the next generation in the queue runs."""

TOLD_AGAIN_SECONDS = 0.25
"""The time between repeated requests to the node that fills a stream to end it."""


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
