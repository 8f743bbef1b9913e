"""How much there is of something at this moment: asked for when somebody looks, and counted by nobody meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

import msgspec

GaugeName = Literal["streams_live", "generations_queued", "readers", "readers_behind", "connections", "topics"]


class Reading(msgspec.Struct, frozen=True):
    """What one gauge shows. Its labels tell it from others of that name: `model`, `transport` and `state`."""

    name: GaugeName
    value: int
    labels: Mapping[str, str] = {}


class Gauges(Protocol):
    """Answers whoever exports them, on the event loop's thread."""

    def readings(self) -> Iterator[Reading]:
        """All gauges of this process, also those that show 0."""
        ...
