"""What a dialect is: one wire shape of a stream's events, with whatever it must remember of those that went before.

What is remembered, a state, belongs to a position in one stream, and is a function of the log up to there: of its
events as they were appended, however they were cut or merged on their way to a reader. So two readers at one position
have equal states, wherever they began. After a gap the log begins anew, and so does the state; a snapshot stands for
all that it sums up, and the state after it is the same as if that had been sent event by event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from tidegate.core.cursor import Cursor
from tidegate.core.log import Entry
from tidegate.core.notices import Notice

State = TypeVar("State")


class Stand(NamedTuple, Generic[State]):
    """Where a reader stands: it has had what comes up to `after` (None: nothing), and the state is that of there."""

    after: Cursor | None
    state: State


class Search(Protocol[State]):
    """The search for one position in a log, from its beginning on; it yields the state at that position, too."""

    def go_on(self, entries: Sequence[Entry]) -> Stand[State] | None:
        """Goes through the next entries; None where the position comes after them."""
        ...


class Dialect(Protocol[State]):
    """One wire shape, with its options. All readers share it; a state belongs to one of them, or to a broadcast.

    Dialects that are equal give the same bytes for the same events. `heartbeat` is sent after silence. A dialect that
    `remembers` nothing has None for its state, and no reader has to wait until its stream's past has been read.
    """

    @property
    def remembers(self) -> bool: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """The headers of an event stream that belong to this dialect."""
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
        """The bytes of entries as the log has them, the next ones after the state, which moves past them.

        With `merge` neighbouring texts may become one event, at the position of the last of them.
        """
        ...

    def notice(self, state: State, notice: Notice) -> bytes:
        """The bytes of what is not in the log. A gap takes the state back to the beginning."""
        ...

    def fork(self, state: State) -> State:
        """An equal state for another reader. It is made whenever a reader leaves a broadcast, so it has to be cheap."""
        ...

    def position(self, token: str, *, param: str) -> Cursor | Search[State]:
        """The place that a client names in the dialect's own words: a cursor, or what can find it in the log.

        It may lie between the several events that one entry becomes: then the state knows which of them its reader
        has had. The rest of them is in the log, and read before anything else: no broadcast has such a state.

        Raises `InvalidValue` or `MalformedCursor` naming `param`.
        """
        ...


class SocketDialect(Dialect[State], Protocol[State]):
    """A dialect for WebSockets: `encode` and `notice` give whole frames, `messages` and `message` their payloads."""

    def messages(self, state: State, entries: Sequence[Entry], *, merge: bool) -> list[bytes]: ...

    def message(self, state: State, notice: Notice) -> bytes: ...


class CursorSearch(Generic[State]):
    """Finds the state at a cursor."""

    def __init__(self, dialect: Dialect[State], after: Cursor) -> None:
        self._dialect = dialect
        self._after = after
        self._state = dialect.begin()

    def go_on(self, entries: Sequence[Entry]) -> Stand[State] | None:
        """Goes through the next entries; None where the cursor comes after them."""
        if entries[-1].offset < self._after.offset:
            self._dialect.skip(self._state, entries)
            return None
        self._dialect.skip(self._state, [entry for entry in entries if entry.offset <= self._after.offset])
        return Stand(self._after, self._state)
