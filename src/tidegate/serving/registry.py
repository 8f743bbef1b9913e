"""The open connections: each with its caller, address, state, and the streams that it carries.

A connection is a WebSocket, or one HTTP call that is attached to a stream. No code here runs per event: readers'
positions and traffic are looked up only when an operator asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from tidegate.core.connection_state import TRANSITIONS, State, moved
from tidegate.core.cursor import Cursor
from tidegate.core.principal import Principal, Scope
from tidegate.serving.traffic import Traffic

Transport = Literal["sse", "json", "websocket"]


class Attached(Protocol):
    """As much of a reader as the registry uses. `told`: whether it was asked to reconnect."""

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
        """How much has gone over the connection so far."""
        ...


class Connection:
    """One open connection. As a context manager it leaves the registry at its end, and closes its readers.

    `opened_at` is in Unix seconds. `principal` is None until the caller is known. A call is covered for as long as its
    caller has one of the scopes in `enough`; a socket has `renew` called when what its caller may do has changed, with
    None where that is nothing any more.
    """

    __slots__ = (
        "_close",
        "_number",
        "_readers",
        "_registry",
        "_state",
        "_wire",
        "address",
        "enough",
        "opened_at",
        "principal",
        "renew",
        "transport",
    )

    def __init__(
        self,
        registry: Registry,
        number: int,
        *,
        transport: Transport,
        address: str,
        principal: Principal | None,
        enough: Sequence[Scope],
        wire: Metered | None,
        close: Callable[[str], None] | None,
        renew: Callable[[Principal | None], None] | None,
        opened_at: float,
    ) -> None:
        self._registry = registry
        self._number = number
        self._wire = wire
        self._close = close
        self._state: State = "connecting"
        # Nearly all connections have one reader; a tuple takes half the memory of a dict then.
        self._readers: tuple[tuple[Hashable, Attached], ...] = ()
        self.transport: Transport = transport
        self.address = address
        self.principal = principal
        self.enough = enough
        self.renew = renew
        self.opened_at = opened_at

    @property
    def id(self) -> str:
        return f"conn_{self._number:016x}"

    @property
    def state(self) -> State:
        """The state. A call whose readers have all been asked to reconnect is draining, whoever asked them."""
        told = self._close is None and self._readers and all(reader.told for _, reader in self._readers)
        return "draining" if told else self._state

    @property
    def readers(self) -> tuple[Attached, ...]:
        """The attached readers."""
        return tuple(reader for _, reader in self._readers)

    def traffic(self) -> Traffic | None:
        """How much has gone over the connection so far; None where that is not counted."""
        return None if self._wire is None else self._wire.traffic()

    def move(self, to: State) -> None:
        """Changes the state. Raises `RuntimeError` for a change that `TRANSITIONS` does not allow."""
        self._state = moved(self._state, to)

    def serve(self) -> None:
        """Sets the state to active, unless the connection has been drained meanwhile."""
        if self._state != "draining":
            self.move("active")

    def seems(self, liveness: Literal["active", "idle", "probing"]) -> None:
        """Sets the state to the client's liveness, unless the connection is not served yet, or not any more."""
        if self._state in ("active", "idle", "probing") and self._state != liveness:
            self.move(liveness)

    def attach(self, key: Hashable, reader: Attached) -> None:
        """Adds a reader: the connection carries one more stream."""
        self._readers = (*self._readers, (key, reader))

    def detach(self, key: Hashable) -> None:
        """Removes a reader, which the caller has to close. Harmless when repeated."""
        self._readers = tuple(pair for pair in self._readers if pair[0] != key)

    def drain(self, reason: str) -> None:
        """Asks the client to reconnect, with a reason as in `Reconnect`. Harmless when repeated."""
        if "draining" not in TRANSITIONS[self.state]:
            return
        self.move("draining")
        if self._close is not None:
            self._close(reason)
        else:
            for reader in self.readers:
                self._registry.send_away(reader, reason)

    def leave(self) -> None:
        """Closes the readers and leaves the registry. Harmless when repeated."""
        if self._state != "closed":
            self.move("closed")
            self._registry.remove(self._number)
            readers, self._readers = self.readers, ()
            for reader in readers:
                reader.close()

    def over(self, _: object, error: Exception | None) -> Exception | None:
        """The step of a detached answer (`core/detached.py`)."""
        self.leave()
        return error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


class Registry:
    """The connections of one application.

    `send_away` asks a reader to reconnect, for a reason, and so ends its call. `now` is in Unix seconds.
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
        """The connections that are open now, newest first."""
        return iter(tuple(reversed(self._open.values())))

    def open(
        self,
        *,
        transport: Transport,
        address: str,
        principal: Principal | None = None,
        enough: Sequence[Scope] = (),
        wire: Metered | None = None,
        close: Callable[[str], None] | None = None,
        renew: Callable[[Principal | None], None] | None = None,
    ) -> Connection:
        """Registers a connection, for use in a `with`; otherwise the caller has to call its `leave`.

        `close` makes the transport send its client away, with a reason as in `Reconnect`. Without it the readers are
        asked to reconnect, which ends the call.
        """
        number = self._random_bits(64)
        connection = Connection(
            self,
            number,
            transport=transport,
            address=address,
            principal=principal,
            enough=enough,
            wire=wire,
            close=close,
            renew=renew,
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
        """Forgets a connection that leaves."""
        del self._open[number]

    def counts(self) -> Counter[tuple[Transport, State]]:
        """How many there are, by transport and state."""
        return Counter((connection.transport, connection.state) for connection in self._open.values())
