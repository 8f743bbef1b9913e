"""Whether WebSockets pass, and whether tidegate takes pages of this origin for its own."""

from __future__ import annotations

from tidegate.client.doctor.answer import Answer
from tidegate.client.doctor.caller import Caller, why
from tidegate.client.doctor.greeting import PROBE
from tidegate.client.doctor.seen import Handshakes
from tidegate.client.doctor.socket import connected
from tidegate.client.doctor.trouble import Unanswered
from tidegate.http_client.errors import HttpError

POST, SOCKET = "POST", "WebSocket"


async def shake_hands(caller: Caller, seconds: float) -> Handshakes:
    """Opens a socket, and then does what a page at this URL does: posts, and opens a socket, with its origin.

    Raises `HttpError`.
    """
    refused = await _socket_refused(caller, seconds)
    origin_refused: list[str] = []
    if _is_for_origin(await caller.post(PROBE, {}, {"origin": caller.origin})):
        origin_refused.append(POST)
    if not refused and await _is_page_refused(caller, seconds):
        origin_refused.append(SOCKET)
    return Handshakes(socket_refused=refused, origin=caller.origin, origin_refused=origin_refused)


async def _socket_refused(caller: Caller, seconds: float) -> str:
    """How a WebSocket of a program, which has no origin, was refused; empty where it works."""
    try:
        async with connected(caller, seconds) as socket:
            answer = await socket.call("ping", seconds)
            if answer is not None and "ok" in answer:
                return ""
            if socket.close_code is not None:
                return f"is accepted, and closed with {socket.close_code}"
            return "is accepted, and lets no messages pass"
    except Unanswered as refusal:
        return str(refusal)
    except HttpError as error:
        return why(error)


async def _is_page_refused(caller: Caller, seconds: float) -> bool:
    try:
        async with connected(caller, seconds, origin=caller.origin):
            return False
    except Unanswered as refusal:
        return _is_for_origin(refusal.answer)


def _is_for_origin(answer: Answer) -> bool:
    return answer.code == "origin_not_allowed"
