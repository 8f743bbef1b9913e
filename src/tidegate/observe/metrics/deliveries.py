"""Measures what is written to the readers of one transport."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.core.batching import joined
from tidegate.core.log import Entry
from tidegate.core.notices import Gap, Notice
from tidegate.observe.metrics.appends import Appends
from tidegate.observe.metrics.meter import Meter


class Deliveries:
    """`readers` are those that are sent the same at the same time."""

    __slots__ = ("_appends", "_delays", "_gaps", "_merged", "_saved")

    def __init__(self, meter: Meter, appends: Appends, transport: str) -> None:
        self._appends = appends
        self._delays = meter.histogram("tidegate_append_to_socket_seconds", transport)
        self._gaps = meter.counter("tidegate_gaps_total")
        self._merged = meter.counter("tidegate_merged_events_total")
        self._saved = meter.counter("tidegate_saved_bytes_total")

    def wrote(self, stream: str, readers: int = 1) -> None:
        """The stream's last append was written to so many readers, which were at its tail."""
        age = self._appends.age(stream)
        if age is not None:
            self._delays.observe(age, readers)

    def told(self, notice: Notice, readers: int = 1) -> None:
        """So many readers are told of this."""
        if isinstance(notice, Gap):
            self._gaps.add(readers)

    def compressed(self, plain: bytes, sent: bytes, readers: int = 1) -> None:
        """So many readers are sent the one for the other. A heartbeat grows by it, and no counter goes down."""
        self._saved.add(max(0, len(plain) - len(sent)) * readers)

    def merged(self, entries: Sequence[Entry], readers: int = 1) -> None:
        """So many readers are sent these entries, merged."""
        self._merged.add(joined(entries) * readers)
