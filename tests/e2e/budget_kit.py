"""Everybody does the worst at once, beside a few who behave: what that costs the process, and those few.

A behaviour is a coroutine that does one kind of harm on a connection of its own, until it is told to stop or cut off;
then it is begun anew. Those of `BEHAVIOURS` run in a program of their own, so that they take no time from whoever
measures:

    python budget_kit.py PORT SECONDS CLIENTS SEED [NAME…]

Others are added to the table. `run` starts a server and that program, and reports.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import ws_kit
from api_kit import call, fetch
from lost_kit import descriptors
from ws_kit import CONT, PING, TEXT, frame

from tidegate.testing.process import Process, running

SOURCE = "127.0.0.2"
"""Where the harm comes from: what is counted by address is not that of those who behave."""

GOOD = tuple(f"good{n}" for n in range(10))
BAD = "mallory"
SCOPES = '["generate", "read", "cancel", "publish", "subscribe"]'
ATTACKERS = 200


def key_of(name: str, scopes: str = SCOPES) -> str:
    return (
        f'[[auth.keys]]\nname = "{name}"\nsha256 = "{sha256(f"tg_{name}".encode()).hexdigest()}"\nscopes = {scopes}\n'
    )


CONFIG = f"""
[store]
url = "memory://"
[limits]
requests_per_minute = 6000
[[models]]
name = "replay"
provider = "replay"
rate = 50
tokens = 100
{"".join(map(key_of, GOOD))}{key_of(BAD)}{key_of("admin", '["admin"]')}"""


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer tg_{name}"}


# Harm


class Client:
    """One connection of somebody who means harm. Every wait ends with the attack, and so does every failure."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> None:
        self.reader = reader
        self.writer = writer
        self.random = rng

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def flood(self, data: bytes) -> None:
        while True:
            await self.send(data)

    async def drip(self, data: bytes, seconds: float = 0.05) -> None:
        while True:
            await self.send(data)
            await asyncio.sleep(seconds)

    async def head(self, line: str, *fields: str, key: str = "") -> None:
        authorization = [f"authorization: Bearer tg_{key}"] if key else []
        lines = [f"{line} HTTP/1.1", "host: localhost", "content-type: application/json", *authorization, *fields]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def post(self, path: str, body: bytes, *fields: str) -> bytes:
        """The body of the answer to a caller's request. Raises `ConnectionError` where it is refused."""
        await self.head(f"POST {path}", *fields, f"content-length: {len(body)}", key=BAD)
        await self.send(body)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        answer = await self.reader.readexactly(int(length.partition(b":")[2]))
        if not head.startswith(b"HTTP/1.1 2"):
            raise ConnectionError
        return answer

    async def socket(self, key: str = "") -> None:
        """Becomes a WebSocket."""
        extra = bearer(key) if key else {}
        await self.send(ws_kit.request(target="/v1/ws", **extra))
        await self.reader.readuntil(b"\r\n\r\n")


Behaviour = Callable[[Client], Awaitable[None]]


async def pipelines(client: Client) -> None:
    """Sends requests and reads no answer."""
    await client.flood(b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n" * 1000)


async def pipelines_large_heads(client: Client) -> None:
    await client.flood(b"GET / HTTP/1.1\r\nhost: a\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(250)) + b"\r\n")


async def pipelines_pages(client: Client) -> None:
    """Asks for what is large, and reads none of it."""
    await client.flood(b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n" * 100)


async def many_headers(client: Client) -> None:
    await client.flood(b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a:\r\n" * 9000 + b"\r\n")


async def half_a_head(client: Client) -> None:
    await client.send(b"GET / HTTP/1.1\r\nx: ")
    await client.drip(b"a" * client.random.randint(1, 100))


async def tiny_chunks(client: Client) -> None:
    """Of a request that is refused by its head."""
    await client.head("POST /v1/streams", "transfer-encoding: chunked")
    await client.flood(b"1\r\nx\r\n" * 10_000)


async def tiny_chunks_of_a_caller(client: Client) -> None:
    await client.head("POST /v1/streams", "transfer-encoding: chunked", key=BAD)
    await client.flood(b"1\r\nx\r\n" * 10_000)


async def slow_body(client: Client) -> None:
    """Nearly as large as it may be, and never whole."""
    await client.head("POST /v1/streams", "content-length: 16000000", key=BAD)
    await client.send(b" " * 15_000_000)
    await client.drip(b" ")


async def endless_body_to_nobody(client: Client) -> None:
    await client.head("POST /v1/streams", "content-length: 16000000")
    await client.flood(b"x" * 100_000)


BOMB = gzip.compress(bytes(15_000_000))


async def bombs(client: Client) -> None:
    """Packed, without credentials and with such as are refused."""
    await client.head("POST /v1/streams", "content-encoding: gzip", f"content-length: {len(BOMB)}", key="nobody")
    await client.send(BOMB)
    await client.reader.read()


async def comes_and_goes(client: Client) -> None:
    """With half a request each time."""
    await client.send(b"GET / HT"[: client.random.randint(0, 8)] or b"G")


async def pings(client: Client) -> None:
    """Over a WebSocket, and never reads the answers."""
    await client.socket(BAD)
    await client.flood(frame(PING, b"x" * 125) * 500)


async def empty_fragments(client: Client) -> None:
    await client.socket(BAD)
    await client.send(frame(TEXT, fin=False))
    await client.flood(frame(CONT, fin=False) * 1000)


async def calls(client: Client) -> None:
    """Beyond the limit, and never reads the refusals."""
    await client.socket(BAD)
    publish = frame(TEXT, json.dumps({"id": 1, "op": "publish", "topic": "junk", "data": "x" * 100}).encode())
    await client.flood(publish * 100)


async def half_a_message(client: Client) -> None:
    await client.socket(BAD)
    await client.send(struct.pack("!BBQ", 0x81, 0x80 | 127, 1_000_000) + bytes(4) + b" " * 900_000)
    await client.drip(b" ")


async def says_not_who(client: Client) -> None:
    await client.socket()
    await client.flood(struct.pack("!BBQ", 0x81, 0x80 | 127, 1_000_000) + bytes(4) + b" " * 100_000)


async def reads_no_events(client: Client) -> None:
    """Follows what the good ones are told, and reads none of it."""
    await client.head("GET /v1/topics/room/events", key=BAD)
    await asyncio.sleep(3600)


TOOLS = gzip.compress(
    b'{"model":"replay","messages":[{"role":"user","content":"x"}],"tools":[' + b"[]," * 900_000 + b"[]]}"
)
DEEP = b'{"model":"replay","prompt":"x","extra":{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}}"
MANY = b'{"model":"replay","prompt":"x","stop":[' + b'"a",' * 400_000 + b'"a"]}'


async def json_bombs(client: Client) -> None:
    """Few bytes that would be many objects, each kind in its turn, by a caller who may ask."""
    await client.post("/v1/chat/completions", TOOLS, "content-encoding: gzip")
    await client.post("/v1/streams", DEEP)
    await client.post("/v1/streams", MANY)
    await client.post("/v1/streams", BOMB, "content-encoding: gzip")


def _repeats(times: int) -> bytes:
    """A text that packs so well, as honest ones hardly do, and bombs do better."""
    rng = random.Random(1)
    return b"".join(rng.randbytes(250).hex().encode() * times for _ in range(15_000_000 // (500 * times)))


PACKED = gzip.compress(b'{"model":"replay","prompt":"%b"}' % _repeats(30))


async def packed_texts(client: Client) -> None:
    """Half a megabyte each, which is 15 to be read."""
    while True:
        with suppress(ConnectionError):
            await client.post("/v1/streams", PACKED, "content-encoding: gzip")


async def metadata(client: Client) -> None:
    body = {"model": "replay", "messages": [{"role": "user", "content": "x"}], "metadata": {"k": "M" * 3_000_000}}
    await client.post("/v1/chat/completions", json.dumps(body).encode())


async def unread_snapshots(client: Client) -> None:
    """Fills a stream with megabytes, and asks for the whole of it without reading any."""
    opened = json.loads(await client.post("/v1/streams", b'{"producer": "client"}'))
    stream, offset = opened["id"], opened["offset"]
    for _ in range(4):
        events = [{"type": "delta", "data": {"text": "x" * 1_000_000}}]
        body = {"lease": opened["lease"]["token"], "expected_offset": offset, "events": events}
        await client.post(f"/v1/streams/{stream}/append", json.dumps(body).encode())
        offset += 1
    while True:
        await client.head(f"GET /v1/streams/{stream}", key=BAD)


async def repeats_an_append(client: Client) -> None:
    opened = json.loads(await client.post("/v1/streams", b'{"producer": "client"}'))
    events = [{"type": "delta", "data": {"text": "x" * 100_000}}]
    body = {"lease": opened["lease"]["token"], "expected_offset": opened["offset"], "events": events}
    while True:
        await client.post(f"/v1/streams/{opened['id']}/append", json.dumps(body).encode())


async def large_topics(client: Client) -> None:
    """Fills topics of its own, each with a state."""
    name = f"junk{client.random.randint(0, 100)}"
    while True:
        body = json.dumps({"data": "x" * 900_000, "state": True}).encode()
        await client.post(f"/v1/topics/{name}/messages", body)


async def background(client: Client) -> None:
    """Starts answers that nobody waits for."""
    while True:
        await client.post("/v1/streams", b'{"model": "replay", "prompt": "x", "background": true}')


BEHAVIOURS: dict[str, Behaviour] = {
    each.__name__: each
    for each in (
        pipelines,
        pipelines_large_heads,
        pipelines_pages,
        many_headers,
        half_a_head,
        tiny_chunks,
        tiny_chunks_of_a_caller,
        slow_body,
        endless_body_to_nobody,
        bombs,
        comes_and_goes,
        pings,
        empty_fragments,
        calls,
        half_a_message,
        says_not_who,
        reads_no_events,
        json_bombs,
        packed_texts,
        metadata,
        unread_snapshots,
        repeats_an_append,
        large_topics,
        background,
    )
}

PAUSE_SECONDS = 0.05
"""Before a behaviour is begun anew: what is measured is the server, not how fast this machine connects."""


async def harm(port: int, behaviour: Behaviour, rng: random.Random) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(SOURCE, 0))
            try:
                await behaviour(Client(reader, writer, rng))
            finally:
                writer.transport.abort()
        await asyncio.sleep(PAUSE_SECONDS)


async def do_harm(port: int, seconds: float, clients: int, seed: int, names: Sequence[str]) -> None:
    behaviours = islice(cycle(BEHAVIOURS[name] for name in names or BEHAVIOURS), clients)
    tasks = [asyncio.create_task(harm(port, each, random.Random(seed + n))) for n, each in enumerate(behaviours)]
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# Those who behave


class Report(NamedTuple):
    """What was seen. Megabytes and seconds; `left` is what is not given back, by what it is.

    `lag_p99` is how late whoever measures was itself, for want of a processor: a busy machine, and not the server.
    """

    peak_mb: float
    delay_p99: float
    lag_p99: float
    messages: int
    calls: int
    refused: Counter[str]
    left: dict[str, int]


class Seen:
    def __init__(self) -> None:
        self.delays: list[float] = []
        self.lags: list[float] = []
        self.calls = 0
        self.refused: Counter[str] = Counter()


async def follow(url: str, name: str, seen: Seen) -> None:
    async with call(f"{url}/v1/topics/room/events", headers=bearer(name)) as answer:
        async for event in answer.events():
            if event.event == "message":
                seen.delays.append(time.monotonic() - json.loads(event.data)["data"][0])
    seen.refused[f"{name}: its stream ended"] += 1


async def ask(url: str, name: str, seen: Seen) -> None:
    """Starts an answer, and has it whole."""
    body = {"model": "replay", "prompt": "x", "max_tokens": 3}
    while True:
        status, _, answer = await fetch(f"{url}/v1/streams", "POST", body, bearer(name))
        seen.calls += 1
        if status != 200:
            seen.refused[f"{name}: {status} {answer['error']['code']}"] += 1
        await asyncio.sleep(0.1)


async def tell(url: str, name: str, seen: Seen) -> None:
    """What the readers are told: when it was sent."""
    while True:
        data = {"data": [time.monotonic(), "x" * 1000]}
        status, _, _ = await fetch(f"{url}/v1/topics/room/messages", "POST", data, bearer(name))
        if status != 200:
            seen.refused[f"{name}: {status}"] += 1
        await asyncio.sleep(0.02)


async def look_at_the_clock(seen: Seen) -> None:
    while True:
        due = time.monotonic() + 0.005
        await asyncio.sleep(0.005)
        seen.lags.append(time.monotonic() - due)


def p99(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100] if values else float("inf")


@asynccontextmanager
async def behaving(url: str, seen: Seen) -> AsyncIterator[None]:
    half = len(GOOD) // 2
    tasks = [asyncio.create_task(follow(url, name, seen)) for name in GOOD[:half]]
    tasks += [asyncio.create_task(ask(url, name, seen)) for name in GOOD[half:-1]]
    tasks += [asyncio.create_task(tell(url, GOOD[-1], seen)), asyncio.create_task(look_at_the_clock(seen))]
    try:
        yield
    finally:
        failed = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        seen.refused.update(repr(error) for error in failed if error is not None)


def memory_mb(pid: int, field: str) -> float:
    """`VmRSS`: what it has in memory; `VmHWM`: the most that it ever had (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


async def held(process: Process) -> dict[str, int]:
    _, _, found = await fetch(f"{process.url}/v1/admin/connections?limit=100", headers=bearer("admin"))
    return {"descriptors": descriptors(process.pid), "connections": len(found["data"])}


async def given_back(process: Process, before: dict[str, int], within: float) -> dict[str, int]:
    """What is still held of more than before, once nothing is, or that time has passed."""
    until = time.monotonic() + within
    while True:
        now = await held(process)
        left = {name: now[name] - before[name] for name in now if now[name] > before[name]}
        if not left or time.monotonic() > until:
            return left
        await asyncio.sleep(0.1)


async def run(
    folder: Path, *names: str, seconds: float = 6, clients: int = ATTACKERS, seed: int = 1, config: str = CONFIG
) -> Report:
    """The behaviours of these names, or all, for so long; then everything should be given back."""
    path = folder / "tidegate.toml"
    path.write_text(config)
    with running("--config", str(path), cwd=folder) as process:
        assert process.ready, process.stderr()
        before, seen = await held(process), Seen()
        async with behaving(process.url, seen):
            arguments = (process.url.rsplit(":", 1)[1], seconds, clients, seed, *names)
            attack = await asyncio.create_subprocess_exec(sys.executable, __file__, *map(str, arguments))
            try:
                assert await attack.wait() == 0
            finally:
                if attack.returncode is None:
                    attack.kill()
                    await attack.wait()
        left = await given_back(process, before, within=10)
        return Report(
            peak_mb=memory_mb(process.pid, "VmHWM"),
            delay_p99=p99(seen.delays),
            lag_p99=p99(seen.lags),
            messages=len(seen.delays),
            calls=seen.calls,
            refused=seen.refused,
            left=left,
        )


if __name__ == "__main__":
    os.nice(15)
    asyncio.run(do_harm(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]))
