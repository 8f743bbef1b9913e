"""One stream, or topic, for a program that blocks."""

from __future__ import annotations

from typing import Self

from tidegate.client.api import Api, Table
from tidegate.client.reader import Reader
from tidegate.client.session import Event
from tidegate.client.wire import done


class Stream:
    """One stream, or topic, as it comes: an iterator of events, which holds across lost connections.

    After `Offline`, and after a Ctrl-C, it goes on where it was when it is iterated again. `close` and `cancel` may be
    called from other threads; the events are for one.
    """

    def __init__(self, reader: Reader, api: Api) -> None:
        self._reader = reader
        self._api = api

    @property
    def id(self) -> str:
        """The id of the stream, or the name of the topic."""
        return self._reader.name

    @property
    def cursor(self) -> str:
        """The position after the last event, for `follow` and `subscribe`; empty before the first."""
        return self._reader.cursor

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        work = self._reader.next()
        try:
            event = done(work)
        finally:
            # Python complains of a coroutine that a Ctrl-C has kept from its first step.
            work.close()
        if event is None:
            raise StopIteration
        # Nothing is called after this, so that no signal comes between it and the caller.
        self._reader.handed = event
        return event

    def text(self) -> str:
        """Reads on to the end, and returns the whole text. Raises where the stream has failed or was cancelled."""
        return done(self._reader.text())

    def cancel(self, reason: str | None = None) -> Table:
        """Ends the stream on the server; its last event then says so."""
        return done(self._api.cancel(self.id, reason))

    def close(self) -> None:
        """Leaves the stream, which goes on without this reader."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
