"""Gauges: how much there is of something now. They are computed only when read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

import msgspec

GaugeName = Literal["streams_live", "generations_queued", "readers", "readers_behind", "connections", "topics"]


class Reading(msgspec.Struct, frozen=True):
    """The value of one gauge. Labels tell gauges of the same name apart: `model`, `transport` and `state`."""

    name: GaugeName
    value: int
    labels: Mapping[str, str] = {}


class Gauges(Protocol):
    """Provides the readings to exporters, on the event loop's thread."""

    def readings(self) -> Iterator[Reading]:
        """All gauges of this process, also those that show 0."""
        ...
