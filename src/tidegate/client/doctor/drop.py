"""Whether something in front of tidegate repeats a POST that was not answered: a generation would be paid for twice."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

import msgspec

from tidegate.client.doctor.answer import decoded
from tidegate.client.doctor.caller import Caller
from tidegate.client.doctor.greeting import PROBE
from tidegate.client.doctor.trouble import Unmeasured
from tidegate.dialects.native_probe import Arrived
from tidegate.http_client.errors import HttpError

PAUSE_SECONDS = 0.5
"""Between two questions how often the POST has come."""


async def count_arrivals(caller: Caller, *, again: float, seconds: float) -> int:
    """How often a POST arrives that tidegate closes the connection upon.

    A proxy may take its servers for dead then, and refuse everything for a while: it is asked for `again` seconds.
    Raises `Unmeasured`.
    """
    name = secrets.token_hex(16)
    with suppress(HttpError):
        answer = await caller.post_once(PROBE, msgspec.json.encode({"drop": name}), seconds=seconds)
        if not answer.is_of_a_proxy:
            raise Unmeasured(f"tidegate {answer.said}")
    try:
        async with asyncio.timeout(again):
            count = await _asked_until_told(caller, name)
    except TimeoutError:
        raise Unmeasured(f"after a POST that was not answered, nothing was answered for {again:g} s") from None
    if count == 0:
        raise Unmeasured("a POST that was to be counted has not arrived")
    return count


async def _asked_until_told(caller: Caller, name: str) -> int:
    while True:
        if (count := await _asked(caller, name)) is not None:
            return count
        await asyncio.sleep(PAUSE_SECONDS)


async def _asked(caller: Caller, name: str) -> int | None:
    with suppress(HttpError):
        answer = await caller.post(PROBE, {"dropped": name})
        if answer.status == 200:
            return decoded(answer, Arrived).dropped or 0
    return None
