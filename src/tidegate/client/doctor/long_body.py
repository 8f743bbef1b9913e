"""Whether a body passes that is as long as a conversation with pictures."""

from __future__ import annotations

from tidegate.client.doctor.answer import Answer, decoded
from tidegate.client.doctor.caller import Caller
from tidegate.client.doctor.greeting import PROBE
from tidegate.client.doctor.own_stream import expected
from tidegate.client.doctor.seen import LongBody
from tidegate.client.doctor.trouble import Unmeasured
from tidegate.dialects.native_probe import Arrived
from tidegate.http_client.errors import ConnectionClosed, TimedOut

BODY_BYTES = 4 * 1024 * 1024
"""More than nginx takes by default, which is 1 MiB, and sent in 7 s at 5 Mbit/s."""

TOO_LARGE = 413


async def send_long(caller: Caller, most: int, seconds: float) -> LongBody:
    """Posts a body of `BODY_BYTES`, or of as much as tidegate takes. Raises `Unanswered`, `Unmeasured`, `HttpError`."""
    size = min(BODY_BYTES, most)
    # White space around JSON means nothing.
    content = b"{}" + b" " * (size - 2)
    answer = await _answer(caller, content, seconds)
    if answer is None:
        return LongBody(bytes=size, refused="breaks the connection off")
    if answer.status == TOO_LARGE:
        return LongBody(bytes=size, refused=answer.said)
    arrived = decoded(expected(answer), Arrived)
    cut = f"passes only {arrived.body_bytes} bytes of it on" if arrived.body_bytes != size else ""
    return LongBody(bytes=size, refused=cut)


async def _answer(caller: Caller, content: bytes, seconds: float) -> Answer | None:
    """The answer; None where the connection breaks, twice."""
    for _ in range(2):
        try:
            return await caller.post_once(PROBE, content, seconds=seconds)
        except TimedOut:
            raise Unmeasured(f"{len(content)} bytes were not sent and answered within {seconds:g} s") from None
        except ConnectionClosed:
            continue
    return None
