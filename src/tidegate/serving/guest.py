"""One connection as the shared budget sees it: its account, whether it is idle, how many bytes it makes us hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from tidegate.core.connection import ClientDisconnected
from tidegate.core.principal import NOBODY, Principal
from tidegate.errors import Overloaded, TidegateError
from tidegate.serving.budget import Budget

PRINCIPAL = "tidegate.principal"
"""Where in an ASGI scope the gate has put the caller."""


FULL = "More waits in the connections of this server than may: see retry-after."

LetGo = Callable[[Exception], None]
"""Called with the reason when the application has to drop the bytes that it keeps."""

Keep = Callable[[int, LetGo | None], None]
"""See `Guest.keep`."""


class Host(Protocol):
    """The protocol that owns the connection. `scope` is that of its newest request, None before the first."""

    scope: Any

    def give_way(self) -> None: ...


class Guest:
    """A connection, from its acceptance to its end, across changes of protocol: the newest protocol is its `host`.

    `turned_away` is the error if the connection is over a limit, else None; `size` is how many bytes its host holds.
    """

    __slots__ = ("_budget", "_idle", "_kept", "_let_go", "_peer", "address", "host", "size", "turned_away")

    def __init__(self, host: Host, budget: Budget, address: str) -> None:
        self.host = host
        self.address = address
        self.turned_away: TidegateError | None = None
        self._budget = budget
        self._peer = budget.peers.account_of(address)
        self._idle = False
        self._kept = 0
        self._let_go: LetGo | None = None
        self.size = 0

    def come_in(self, there_are: int, transport: asyncio.Transport) -> None:
        """Counts the new connection, the last of `there_are`. Past the limit it is turned away, far past it cut off."""
        self.turned_away = self._budget.refusal(there_are, self._peer, self.address)
        if self.turned_away is None:
            self.idle(True)
            return
        self._peer = None
        if self._budget.is_beyond(there_are):
            transport.abort()

    def idle(self, idle: bool) -> None:
        """Sets whether the connection serves no request: an idle one counts towards the limit of its address."""
        if self._peer is not None and idle is not self._idle:
            self._idle = idle
            (self._budget.peers.come if idle else self._budget.peers.go)(self._peer)

    @property
    def is_counted(self) -> bool:
        """Whether its idleness counts towards a limit."""
        return self._peer is not None

    @property
    def is_one_too_many(self) -> bool:
        """Whether the connection is idle now, and its address has more idle ones than it may have."""
        return self._idle and self._peer is not None and self._budget.peers.is_over(self._peer)

    def hold(self, size: int) -> None:
        """The host now holds `size` bytes."""
        if size != self.size:
            self.size = size
            self._budget.waiting.hold(self, size + self._kept)

    def keep(self, size: int, let_go: LetGo | None) -> None:
        """The application keeps `size` bytes received here; 0 ends that. `let_go`, if given, makes it drop them."""
        self._kept, self._let_go = size, let_go
        self._budget.waiting.hold(self, size + self.size)

    def leave(self) -> None:
        """The connection is over. Harmless when repeated."""
        self.idle(False)
        self.hold(0)
        if self._let_go is not None:
            self._take_back(ClientDisconnected())

    # The `Holder` of what waits

    @property
    def account(self) -> str:
        """The caller's account where it is known, else one for the address."""
        principal: Principal | None = self.host.scope and self.host.scope.get(PRINCIPAL)
        return f"address:{self.address}" if principal in (None, NOBODY) else principal.account

    def give_way(self) -> None:
        self.size = 0
        if self._let_go is None:
            self.host.give_way()
        else:
            self._take_back(Overloaded(FULL))

    def _take_back(self, error: Exception) -> None:
        let_go = self._let_go
        self.keep(0, None)
        if let_go is not None:
            let_go(error)
