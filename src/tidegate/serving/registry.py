"""Every connection there is: whose, from where, in which state, and what it carries.

A connection is a WebSocket, or one HTTP call that is attached to a stream. Nothing here runs for an event: where the
readers stand, and how much has gone over the wire, is asked when somebody looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from tidegate.core.connection_state import TRANSITIONS, State, moved
from tidegate.core.cursor import Cursor
from tidegate.serving.traffic import Traffic

Transport = Literal["sse", "json", "websocket"]


class Attached(Protocol):
    """A reader, as far as the registry looks at it. `told`: it was asked to come back."""

    stream: str
    told: bool

    @property
    def at(self) -> Cursor | None:
        """The position after what was delivered; None before the first event."""
        ...

    def close(self) -> None:
        """Detaches; harmless when repeated."""
        ...


class Metered(Protocol):
    """A `Wire` or a `SocketWire`."""

    def traffic(self) -> Traffic | None:
        """What has gone over it so far."""
        ...


class Connection:
    """One of them. As a context it is in the registry until its end, when its readers are closed.

    `opened_at` is in Unix seconds. `principal` is None until it is known who is calling.
    """

    __slots__ = (
        "_close",
        "_number",
        "_readers",
        "_registry",
        "_state",
        "_wire",
        "address",
        "opened_at",
        "principal",
        "transport",
    )

    def __init__(
        self,
        registry: Registry,
        number: int,
        *,
        transport: Transport,
        address: str,
        principal: str | None,
        wire: Metered | None,
        close: Callable[[str], None] | None,
        opened_at: float,
    ) -> None:
        self._registry = registry
        self._number = number
        self._wire = wire
        self._close = close
        self._state: State = "connecting"
        # Nearly all have one, which is half as large like this as in a dict.
        self._readers: tuple[tuple[Hashable, Attached], ...] = ()
        self.transport: Transport = transport
        self.address = address
        self.principal = principal
        self.opened_at = opened_at

    @property
    def id(self) -> str:
        return f"conn_{self._number:016x}"

    @property
    def state(self) -> State:
        """Where it stands. A call whose readers were told to come back is draining, whoever told them."""
        told = self._close is None and self._readers and all(reader.told for _, reader in self._readers)
        return "draining" if told else self._state

    @property
    def readers(self) -> tuple[Attached, ...]:
        """Those that are attached."""
        return tuple(reader for _, reader in self._readers)

    def traffic(self) -> Traffic | None:
        """What has gone over it so far; None where nobody counts."""
        return None if self._wire is None else self._wire.traffic()

    def move(self, to: State) -> None:
        """Raises `RuntimeError` where the table of states does not have it."""
        self._state = moved(self._state, to)

    def serve(self) -> None:
        """It is served from here on, unless it was told to go meanwhile."""
        if self._state != "draining":
            self.move("active")

    def seems(self, liveness: Literal["active", "idle", "probing"]) -> None:
        """What is thought of its client. Who is still being let in, or was told to go, is not served."""
        if self._state in ("active", "idle", "probing") and self._state != liveness:
            self.move(liveness)

    def attach(self, key: Hashable, reader: Attached) -> None:
        """It carries one more stream."""
        self._readers = (*self._readers, (key, reader))

    def detach(self, key: Hashable) -> None:
        """It carries that stream no more; harmless when repeated. To close the reader is the caller's."""
        self._readers = tuple(pair for pair in self._readers if pair[0] != key)

    def drain(self, reason: str) -> None:
        """Asks the client to go and come back, with a reason as in `Reconnect`; harmless when repeated."""
        if "draining" not in TRANSITIONS[self.state]:
            return
        self.move("draining")
        if self._close is not None:
            self._close(reason)
        else:
            for reader in self.readers:
                self._registry.send_away(reader, reason)

    def leave(self) -> None:
        """It is gone: its readers are closed, and nothing of it is kept. Harmless when repeated."""
        if self._state != "closed":
            self.move("closed")
            self._registry.remove(self._number)
            readers, self._readers = self.readers, ()
            for reader in readers:
                reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


class Registry:
    """The connections of one application.

    `send_away` asks a reader to come back, for a reason, which is how a call is ended. `now` is in Unix seconds.
    """

    def __init__(
        self,
        *,
        send_away: Callable[[Any, str], None],
        now: Callable[[], float],
        random_bits: Callable[[int], int],
    ) -> None:
        self.send_away = send_away
        self._now = now
        self._random_bits = random_bits
        self._open: dict[int, Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        """Newest first, those that are there now."""
        return iter(tuple(reversed(self._open.values())))

    def open(
        self,
        *,
        transport: Transport,
        address: str,
        principal: str | None = None,
        wire: Metered | None = None,
        close: Callable[[str], None] | None = None,
    ) -> Connection:
        """A new connection, for a `with`; otherwise its `leave` is to be called.

        `close` has the transport send its client away, with a reason as in `Reconnect`. Without it the readers are
        asked to come back, and the call is over with them.
        """
        number = self._random_bits(64)
        connection = Connection(
            self,
            number,
            transport=transport,
            address=address,
            principal=principal,
            wire=wire,
            close=close,
            opened_at=round(self._now(), 3),
        )
        self._open[number] = connection
        return connection

    def find(self, id: str) -> Connection | None:
        """The connection with this id, if it is still there."""
        try:
            found = self._open.get(int(id.removeprefix("conn_"), 16))
        except ValueError:
            return None
        return found if found is not None and found.id == id else None

    def remove(self, number: int) -> None:
        """Forgets one that leaves."""
        del self._open[number]

    def counts(self) -> Counter[tuple[Transport, State]]:
        """How many there are, by transport and state."""
        return Counter((connection.transport, connection.state) for connection in self._open.values())
