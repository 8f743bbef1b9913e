"""Why a WebSocket is closed from here: the close code that tells its client, and the lines that tell the log."""

from __future__ import annotations

import asyncio
import logging

from uvicorn.protocols.utils import ClientDisconnected as ServerClientDisconnected

from tidegate.core.close_code import GOING_AWAY, INTERNAL_ERROR, NORMAL
from tidegate.core.connection import ClientDisconnected, ResponseAborted
from tidegate.errors import TidegateError
from tidegate.serving.guest import Guest
from tidegate.serving.parse_turns import ParseTurns

log = logging.getLogger("tidegate.ws")


def code_after(error: BaseException | None) -> int:
    """The close code when the application has ended with this error, which is logged unless that was done already."""
    match error:
        case None | ServerClientDisconnected() | ClientDisconnected():
            return NORMAL
        case asyncio.CancelledError():
            return GOING_AWAY
        case ResponseAborted():
            return INTERNAL_ERROR
        case _:
            log.error("the application failed on a WebSocket", exc_info=error)
            return INTERNAL_ERROR


def drop(transport: asyncio.Transport, turns: ParseTurns) -> None:
    """Drops what was read after the close, and pauses reading until this connection's turn to drop more."""

    def resume() -> bool:
        if not transport.is_closing():
            transport.resume_reading()
        return False

    transport.pause_reading()
    turns.ask(resume)


def tell_closed(code: int, reason: str, guest: Guest, request_id: str | None) -> None:
    """Logs the close of an open socket, but not that of one that has done nothing wrong."""
    if code not in (NORMAL, GOING_AWAY):
        fields = {"account": guest.account, "address": guest.address, "request_id": request_id or ""}
        log.info("closed with %d: %s", code, reason, extra={"fields": fields})


def tell_refused(error: TidegateError, guest: Guest, request_id: str) -> None:
    """Logs that a valid handshake was refused."""
    fields = {"code": error.code, "address": guest.address, "request_id": request_id}
    log.info("%s: %s", error.code, error.message, extra={"fields": fields})
