"""The port of dialects: a dialect is one wire format of a stream's events, with a state that depends on earlier events.

A state belongs to a position in one stream, and is a function of the log up to that position: of its events as they
were appended, however they were cut or merged on their way to a reader. So two readers at one position have equal
states, wherever they began. After a gap the state begins anew; after a snapshot it is the same as if the events that
the snapshot sums up had been sent one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from tidegate.core.cursor import Cursor
from tidegate.core.log import Entry
from tidegate.core.notices import Notice

State = TypeVar("State")


class Stand(NamedTuple, Generic[State]):
    """A reader's position: it has received everything up to `after` (None: nothing), and `state` is the state there."""

    after: Cursor | None
    state: State


class Search(Protocol[State]):
    """A search for one position in a log, from the log's beginning; it finds the state at that position, too."""

    def go_on(self, entries: Sequence[Entry]) -> Stand[State] | None:
        """Searches the next entries; None if the position comes after them."""
        ...


class Dialect(Protocol[State]):
    """One wire format, with its options. All readers share it; a state belongs to one reader, or to a broadcast.

    Equal dialects encode the same events as the same bytes. `heartbeat` is sent after silence. A dialect for which
    `remembers` is false has no state, and its readers do not have to wait until the stream's past has been read.
    """

    @property
    def remembers(self) -> bool: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """The headers that this dialect adds to an event stream's response."""
        ...

    @property
    def preamble(self) -> bytes:
        """The bytes that every event stream begins with."""
        ...

    @property
    def heartbeat(self) -> bytes: ...

    def begin(self) -> State:
        """The state before the first event."""
        ...

    def skip(self, state: State, entries: Sequence[Entry]) -> None:
        """Moves the state past entries that are not written for this reader."""
        ...

    def encode(self, state: State, entries: Sequence[Entry], *, merge: bool) -> bytes:
        """The bytes of the log entries that follow the state, which moves past them.

        With `merge` neighbouring texts may become one event, at the position of the last of them.
        """
        ...

    def notice(self, state: State, notice: Notice) -> bytes:
        """The bytes of a notice. A gap resets the state to the beginning."""
        ...

    def fork(self, state: State) -> State:
        """A copy of the state for another reader. It must be cheap: one is made when a reader leaves a broadcast."""
        ...

    def position(self, token: str, *, param: str) -> Cursor | Search[State]:
        """The position that a client names in this dialect: a cursor, or a search that finds the position in the log.

        It may lie between the several events that one entry becomes: then the state knows which of them the reader
        has received. The others are in the log, and are read before anything else: no broadcast has such a state.

        Raises `InvalidValue` or `MalformedCursor` naming `param`.
        """
        ...


class SocketDialect(Dialect[State], Protocol[State]):
    """A dialect for WebSockets: `encode` and `notice` return whole frames, `messages` and `message` their payloads."""

    def messages(self, state: State, entries: Sequence[Entry], *, merge: bool) -> list[bytes]: ...

    def message(self, state: State, notice: Notice) -> bytes: ...


class CursorSearch(Generic[State]):
    """Finds the state at a cursor."""

    def __init__(self, dialect: Dialect[State], after: Cursor) -> None:
        self._dialect = dialect
        self._after = after
        self._state = dialect.begin()

    def go_on(self, entries: Sequence[Entry]) -> Stand[State] | None:
        """Searches the next entries; None if the cursor comes after them."""
        if entries[-1].offset < self._after.offset:
            self._dialect.skip(self._state, entries)
            return None
        self._dialect.skip(self._state, [entry for entry in entries if entry.offset <= self._after.offset])
        return Stand(self._after, self._state)
