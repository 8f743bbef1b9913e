"""uvicorn's flow control, with a second reason not to read: the connection's own backlog."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """uvicorn resumes reading after each answer, whatever still waits to be parsed. While `held`, that has no effect.

    Inherits because uvicorn's cycles are typed with `FlowControl`; everything about reading is overridden.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = False

    @property
    def stopped(self) -> bool:
        """Whether reading is paused, for either reason."""
        return self.held or self.read_paused

    def hold(self) -> None:
        """Pauses reading until `release`."""
        self._change(held=True, paused=self.read_paused)

    def release(self) -> bool:
        """Ends `hold`. Returns False, so that it can serve as the `Work` of a turn: there is no more."""
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
