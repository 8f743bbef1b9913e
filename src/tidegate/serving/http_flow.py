"""Reading and writing in their turn: uvicorn's flow control, with a reason of the connection's own not to read on."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """uvicorn reads on after each answer, whatever waits still. While `held` that has no effect.

    Inherited because uvicorn's cycles are typed with it; nothing of its reading is kept.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = False

    @property
    def stopped(self) -> bool:
        """Whether nothing is read, for whichever reason."""
        return self.held or self.read_paused

    def hold(self) -> None:
        """Nothing is to be read until `release`."""
        self._change(held=True, paused=self.read_paused)

    def release(self) -> bool:
        """The connection has no reason against reading any more. False, as the last of a turn's work."""
        self._change(held=False, paused=self.read_paused)
        return False

    def pause_reading(self) -> None:
        self._change(held=self.held, paused=True)

    def resume_reading(self) -> None:
        self._change(held=self.held, paused=False)

    def _change(self, *, held: bool, paused: bool) -> None:
        before = self.stopped
        self.held, self.read_paused = held, paused
        if before == self.stopped or self._transport.is_closing():
            return
        if before:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
