"""Whether WebSockets pass, and whether tidegate takes pages of this origin for its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.client.doctor.answer import Answer
from tidegate.client.doctor.caller import LATER, Caller, why
from tidegate.client.doctor.greeting import PROBE
from tidegate.client.doctor.seen import Handshakes
from tidegate.client.doctor.socket import Socket, connected
from tidegate.client.doctor.trouble import Blocked, Unanswered, Unmeasured
from tidegate.client.words import as_table
from tidegate.core.close_code import UNAUTHENTICATED
from tidegate.http_client.errors import HttpError

POST, SOCKET = "POST", "WebSocket"

NOBODYS = "gen_" + 32 * "0"
"""A stream that there is not. Whether it is there is told only to whom the key lets in."""


async def shake_hands(caller: Caller, seconds: float) -> Handshakes:
    """Opens a socket, and then does what a page at this URL does: posts, and opens a socket, with its origin.

    Raises `Unanswered` where tidegate refuses it, `Unmeasured`, `Blocked` where the key is lost, and `HttpError`.
    """
    refused = await _socket_refused(caller, seconds)
    origin_refused: list[str] = []
    posted = await caller.post(PROBE, {}, {"origin": caller.origin})
    if posted.status in LATER:
        raise Unanswered(posted)
    if _is_for_origin(posted):
        origin_refused.append(POST)
    if not refused and await _is_page_refused(caller, seconds):
        origin_refused.append(SOCKET)
    return Handshakes(socket_refused=refused, origin=caller.origin, origin_refused=origin_refused)


async def _socket_refused(caller: Caller, seconds: float) -> str:
    """How a WebSocket of a program, which has no origin, was refused; empty where it works."""
    try:
        async with connected(caller, seconds) as socket:
            answer = await socket.call("attach", seconds, stream=NOBODYS)
            return "" if answer is not None and not _is_for_key(answer) else _silence(socket, answer)
    except Unanswered as refusal:
        if refusal.answer.is_tidegates and refusal.answer.code != "upgrade_required":
            raise
        return "arrives without its header Upgrade" if refusal.answer.is_tidegates else str(refusal)
    except HttpError as error:
        return why(error)


def _silence(socket: Socket, answer: Mapping[str, Any] | None) -> str:
    """Why a call on an accepted socket was not answered as it should be. Raises `Blocked` and `Unmeasured`."""
    code = socket.close_code
    if answer is not None or code == UNAUTHENTICATED:
        raise Blocked("headers_lost", "The header authorization does not arrive with WebSockets.")
    if code is not None:
        raise Unmeasured(f"tidegate closed a WebSocket with {code}")
    return "is accepted, but then nothing passes"


def _is_for_key(answer: Mapping[str, Any]) -> bool:
    return as_table(answer.get("error")).get("code") == "invalid_credentials"


async def _is_page_refused(caller: Caller, seconds: float) -> bool:
    try:
        async with connected(caller, seconds, origin=caller.origin):
            return False
    except Unanswered as refusal:
        return _is_for_origin(refusal.answer)


def _is_for_origin(answer: Answer) -> bool:
    return answer.code == "origin_not_allowed"
