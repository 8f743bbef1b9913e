"""One worker's portion of the limits that bound the machine."""

from __future__ import annotations

import msgspec

from tidegate.config import Settings


def portion_of(settings: Settings) -> Settings:
    """The settings of one of `server.workers`: together they take no more connections and memory than one process.

    The kernel spreads connections evenly, but not exactly, so that one worker may be full a little before the others.
    Without a limit of connections each worker has one by the files that it may open, which is a limit of processes.
    """
    limits, workers = settings.limits, settings.server.workers
    limits = msgspec.structs.replace(
        limits,
        connections=max(1, limits.connections // workers) if limits.connections else 0,
        max_buffered_bytes=max(1, limits.max_buffered_bytes // workers),
    )
    return msgspec.structs.replace(settings, limits=limits)
