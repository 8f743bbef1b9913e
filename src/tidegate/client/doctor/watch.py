"""Whether connections last on which nothing is sent but heartbeats: those of readers whose model thinks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from tidegate.client.doctor.caller import Caller, pause_told
from tidegate.client.doctor.event_reader import EventReader
from tidegate.client.doctor.hearing import Hearing
from tidegate.client.doctor.own_stream import OwnStream, OwnStreams
from tidegate.client.doctor.seen import Watched
from tidegate.client.doctor.socket import Socket, connected
from tidegate.client.doctor.trouble import Unanswered, Unmeasured
from tidegate.http_client.errors import HttpError

STILL = "still there"
EVENTS, SOCKET = "event stream", "WebSocket"


async def watch(
    caller: Caller, own: OwnStreams, *, seconds: float, end: float, patience: float, answer: float
) -> list[Watched]:
    """Watches a reader on each transport for so long, then sends both a text, for which it has `patience`.

    `end`, by the loop's clock, is when it stops at the latest. A WebSocket that cannot be used is left out. Raises as
    `OwnStream` does, and `Unmeasured`.
    """
    now = asyncio.get_running_loop().time
    if end - now() < seconds / 2:
        raise Unmeasured("no time was left to watch connections on which nothing comes")
    stream = await own.open()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(stream.kept())
        reader = await stack.enter_async_context(caller.events(f"{stream.path}/events"))
        hearings = {EVENTS: reader.hearing}
        socket = await _attached(caller, stream, stack, answer)
        if socket is not None:
            hearings[SOCKET] = socket.hearing
        end = min(end, now() + seconds)
        for hearing in hearings.values():
            await hearing.until(lambda: False, end - now())
            _check(reader)
        await _say_something(stream, hearings, patience)
        _check(reader)
        return [_watched(what, hearing) for what, hearing in hearings.items() if not hearing.sent_away]


def _check(reader: EventReader) -> None:
    """Raises `Unanswered` where the reader was refused, and `SentAway` where the server has sent it away."""
    if reader.refused is not None:
        raise Unanswered(reader.refused)
    if reader.hearing.sent_away:
        raise reader.away


async def _attached(caller: Caller, stream: OwnStream, stack: AsyncExitStack, seconds: float) -> Socket | None:
    try:
        socket = await stack.enter_async_context(connected(caller, seconds))
    except Unanswered as refused:
        if pause_told(refused.answer) is not None:
            raise
        return None
    except HttpError:
        return None
    answer = await socket.call("attach", seconds, stream=stream.id)
    return socket if answer is not None and "ok" in answer else None


async def _say_something(stream: OwnStream, hearings: dict[str, Hearing], patience: float) -> None:
    if all(hearing.over for hearing in hearings.values()):
        return
    try:
        await stream.say(STILL)
    except (Unanswered, HttpError):
        if not any(hearing.over for hearing in hearings.values()):
            raise
    await asyncio.gather(*(_heard(hearing, patience) for hearing in hearings.values()))


def _heard(hearing: Hearing, patience: float) -> Coroutine[Any, Any, bool]:
    return hearing.until(lambda: STILL in hearing.text, patience)


def _watched(what: str, hearing: Hearing) -> Watched:
    heard = STILL in hearing.text
    if heard or hearing.over_at is None:
        now = asyncio.get_running_loop().time()
        return Watched(what=what, watched_s=now - hearing.began_at, dead=not heard)
    lasted = hearing.over_at - hearing.began_at
    return Watched(what=what, watched_s=lasted, cut_after_s=lasted, silent_s=hearing.over_at - hearing.last_at)
