"""The heartbeats of one open WebSocket, on the timer that all of them share."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tidegate.serving.beats import Beats
from tidegate.serving.ws_heart import Beat, Heart, HeartRates, Liveness


class Host(Protocol):
    """The socket's protocol, as far as it is used here."""

    @property
    def is_unread(self) -> bool:
        """Whether nothing is read from the client at the moment, which is not its fault."""
        ...

    def lives(self, liveness: Liveness) -> None:
        """What the heartbeats say of the client; called whether or not that has changed."""
        ...

    def ping(self) -> None: ...

    def lost(self) -> None:
        """The client has not answered the last probe."""
        ...


class Pulse:
    """Is told of all that is received, and tells its host what to do, until it is stopped."""

    __slots__ = ("_beats", "_grain", "_heart", "_host")

    def __init__(self, host: Host, rates: HeartRates, beats: Beats) -> None:
        self._host = host
        self._beats = beats
        self._heart = Heart(rates, _now())
        self._grain: int | None = beats.at(self._heart.due, self)

    def stop(self) -> None:
        """Ends the heartbeats. Harmless when repeated."""
        if self._grain is not None:
            self._beats.cancel(self._grain, self)
            self._grain = None

    def heard(self) -> None:
        """Some bytes have come."""
        self._heart.heard(_now())
        self._host.lives(self._heart.liveness)

    def message(self) -> None:
        """A message has come."""
        self._heart.message(_now())
        self._host.lives(self._heart.liveness)

    @property
    def _stopped(self) -> bool:
        return self._grain is None

    def beat(self) -> None:
        """Called by `Beats` when the next heartbeat is due."""
        if self._stopped:
            return
        heart, now = self._heart, _now()
        if self._host.is_unread:
            heart.heard(now)
        beat = heart.beat(now)
        self._host.lives(heart.liveness)
        if beat is Beat.LOST:
            self._host.lost()
            return
        if beat is Beat.PING:
            self._host.ping()
        if not self._stopped:
            self._grain = self._beats.at(heart.due, self)


def _now() -> float:
    return asyncio.get_running_loop().time()
