"""Clients that do everything wrong on the WebSocket, and what the others see of it: nothing."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import attack_kit
import pytest
from api_kit import call
from eventually_kit import eventually
from lost_kit import are_left, port_of
from socket_kit import socket as websocket

pytestmark = pytest.mark.anyio

STRICT = """
[store]
url = "memory://"
[limits]
requests_per_minute = 1
burst = 600
"""
MOST_MESSAGES = 480

ATTACKERS = 50
ATTACK_SECONDS = 2
SLOWEST = 1.0
"""Seconds that 99 of 100 messages take at the most, on a machine that is busy."""

CLOSED = {
    "no JSON": "malformed_message 4400",
    "no object": "malformed_message 4400",
    "too deep": "malformed_message 4400",
    "unknown op": "invalid_value 1000",
    "wrong types": "invalid_value 1000",
    "binary": "1003",
    "bad UTF-8": "1007",
    "oversized": "1009",
    "oversized in its head": "1009",
    "oversized in pieces": "1009",
    "bomb": "1002",
    "reserved bits": "1002",
    "reserved opcode": "1002",
    "unmasked": "1002",
    "ping in pieces": "1002",
    "large ping": "1002",
    "continued nothing": "1002",
    "too many calls": "rate_limit_exceeded 4429",
    "pings": "1000",
    "empty pieces": "malformed_message 1000",
}
"""What becomes of each attack: the errors that are answered, and the code of the close; 1000 is the client's own."""


async def test_who_does_everything_wrong_harms_nobody_else(server: Callable[[str], str]) -> None:
    """Each gets the documented error or close code; readers meanwhile see each message once, in order and soon."""
    url = server(STRICT)
    delays: list[float] = []
    async with websocket(url) as publisher, asyncio.TaskGroup() as tasks:
        readings = [tasks.create_task(followed(url, read, delays)) for read in (by_socket, by_sse) * 5]
        await eventually(lambda: are_left(url, 11), within=10)
        attack = await asyncio.create_subprocess_exec(
            sys.executable,
            attack_kit.__file__,
            *(str(each) for each in (port_of(url), ATTACK_SECONDS, ATTACKERS)),
            stdout=asyncio.subprocess.PIPE,
        )
        attacking = tasks.create_task(attack.communicate())
        sent = 0
        while not attacking.done() and sent < MOST_MESSAGES:
            await publisher.call("publish", topic="room", data=[sent, time.monotonic()])
            sent += 1
            await asyncio.wait((attacking,), timeout=0.02)
        await attacking
        await publisher.call("publish", topic="room", data=[])
    assert [reading.result() for reading in readings] == [list(range(sent))] * 10
    assert sent > 20
    assert sorted(delays)[len(delays) * 99 // 100] < SLOWEST
    assert_documented(json.loads(attacking.result()[0]))


def assert_documented(found: dict[str, int]) -> None:
    """An attack that shares its limit with all others may be told so, too."""
    became: dict[str, set[str]] = {name: set() for name in CLOSED}
    for each in found:
        name, _, ending = each.partition(": ")
        if name == "too deep" and ending.endswith("rate_limit_exceeded 1000"):
            # So large a message is counted before it is decoded.
            continue
        became[name].add(ending if name == "too many calls" else ending.replace("rate_limit_exceeded ", ""))
    assert became == {name: {ending} for name, ending in CLOSED.items()}


async def followed(url: str, read: Callable[[str], AsyncIterator[Any]], delays: list[float]) -> list[int]:
    """The numbers that one reader sees, until it is told to stop."""
    seen: list[int] = []
    async with asyncio.timeout(60):
        async for data in read(url):
            if not data:
                break
            delays.append(time.monotonic() - data[1])
            seen.append(data[0])
    return seen


async def by_socket(url: str) -> AsyncIterator[Any]:
    async with websocket(url) as client:
        await client.call("subscribe", topic="room")
        while True:
            event = await client.event(within=30)
            if event["type"] == "message":
                yield event["data"]["data"]


async def by_sse(url: str) -> AsyncIterator[Any]:
    async with call(f"{url}/v1/topics/room/events") as answer:
        async for event in answer.events():
            if event.event == "message":
                yield json.loads(event.data)["data"]
