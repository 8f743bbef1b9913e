"""Heartbeats of a WebSocket, which find out whether its client is still there. Pure: times are arguments."""

from __future__ import annotations

from enum import Enum, auto

import msgspec


class HeartRates(msgspec.Struct, frozen=True, kw_only=True):
    """The settings `delivery.ws_*`: pings every `ping_seconds`; after `idle_seconds` of silence, `probes` probes."""

    ping_seconds: float = 30
    idle_seconds: float = 60
    probe_seconds: float = 10
    probes: int = 3


class Liveness(Enum):
    """`idle`: no message for `idle_seconds`, though pings are answered. `probing`: nothing at all for that time."""

    ACTIVE = "active"
    IDLE = "idle"
    PROBING = "probing"


class Beat(Enum):
    """What to do next. A probe is a ping, too."""

    REST = auto()
    PING = auto()
    LOST = auto()


class Heart:
    """Is told of all that is received; `beat`, called at `due`, says what to do. Times are seconds of any one clock."""

    __slots__ = ("_heard", "_message", "_next_ping", "_next_probe", "_probed", "_rates", "liveness")

    def __init__(self, rates: HeartRates, now: float) -> None:
        self.liveness = Liveness.ACTIVE
        self._rates = rates
        self._heard = now
        self._message = now
        self._next_ping = now + rates.ping_seconds
        self._next_probe = now
        self._probed = 0

    def heard(self, now: float) -> None:
        """Some bytes have come, if only part of a frame."""
        self._heard = now
        if self.liveness is Liveness.PROBING:
            self._probed = 0
            self.liveness = self._awake(now)

    def message(self, now: float) -> None:
        """A message has come."""
        self._message = now
        self.liveness = Liveness.ACTIVE

    @property
    def due(self) -> float:
        """When to call `beat` next."""
        if self.liveness is Liveness.PROBING:
            return self._next_probe
        due = min(self._next_ping, self._heard + self._rates.idle_seconds)
        return min(due, self._message + self._rates.idle_seconds) if self.liveness is Liveness.ACTIVE else due

    def beat(self, now: float) -> Beat:
        """What to do now."""
        if now - self._heard >= self._rates.idle_seconds:
            return self._probe(now)
        self.liveness = self._awake(now)
        if now < self._next_ping:
            return Beat.REST
        self._next_ping = now + self._rates.ping_seconds
        return Beat.PING

    def _awake(self, now: float) -> Liveness:
        return Liveness.IDLE if now - self._message >= self._rates.idle_seconds else Liveness.ACTIVE

    def _probe(self, now: float) -> Beat:
        if self.liveness is Liveness.PROBING and now < self._next_probe:
            return Beat.REST
        self.liveness = Liveness.PROBING
        if self._probed == self._rates.probes:
            return Beat.LOST
        self._probed += 1
        self._next_probe = now + self._rates.probe_seconds
        return Beat.PING
