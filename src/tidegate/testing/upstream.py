"""An OpenAI-compatible server that plays a script, over real sockets on loopback and with raw HTTP.

    async with FakeUpstream(chat("Hel", "lo")) as upstream:
        provider = OpenAIProvider(OpenAIModel(name="fake", base_url=upstream.url))

A script is a list of steps. The n-th request plays the n-th script, the last one again and again.
`GET /v1/models` lists `models` whatever the script says, and is not recorded.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import msgspec


@dataclass(frozen=True)
class Reply:
    """A whole answer with a content-length, e.g. an error."""

    status: int
    body: bytes | dict[str, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Head:
    """The head of an event stream: chunked, or lasting until the connection closes."""

    chunked: bool = True
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Send:
    """A piece of the body, as one HTTP chunk where the head says chunked."""

    data: bytes


@dataclass(frozen=True)
class Raw:
    """Bytes that are written to the socket as they are."""

    data: bytes


@dataclass(frozen=True)
class Tokens:
    """One chat completion chunk per text, `delay` seconds before each."""

    texts: Sequence[str]
    delay: float = 0.0


@dataclass(frozen=True)
class Pause:
    """Silence, in seconds."""

    seconds: float


@dataclass(frozen=True)
class Wait:
    """Silence until the test sets the event."""

    event: asyncio.Event


@dataclass(frozen=True)
class Hang:
    """Silence until the client leaves."""


@dataclass(frozen=True)
class End:
    """The regular end of the body."""


@dataclass(frozen=True)
class Close:
    """The connection is closed (FIN), whether or not the head has announced that."""


@dataclass(frozen=True)
class Reset:
    """The connection is reset (RST)."""


@dataclass(frozen=True)
class NeverRead:
    """As the first step of a script: not even the request is read, and nothing is sent."""


Step = Reply | Head | Send | Raw | Tokens | Pause | Wait | Hang | End | Close | Reset | NeverRead
Script = Sequence[Step]

KEEP_ALIVE = Send(b": keep-alive\n\n")
DONE = Send(b"data: [DONE]\n\n")


def event(data: Mapping[str, Any]) -> bytes:
    """One event with JSON data."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
    """One event of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "fake", "choices": [choice]})


def usage(prompt: int, completion: int) -> bytes:
    """The event with the usage, which comes after the one with the finish reason."""
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": counted})


def chat(*texts: str, delay: float = 0.0, finish_reason: str = "stop", prompt_tokens: int = 7) -> list[Step]:
    """The usual answer: the texts, a finish reason, usage and `[DONE]`."""
    return [
        Head(),
        Send(chunk({"role": "assistant", "content": ""})),
        Tokens(texts, delay),
        Send(chunk({}, finish_reason)),
        Send(usage(prompt_tokens, len(texts))),
        DONE,
        End(),
    ]


@dataclass(frozen=True)
class Request:
    """A client's request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class FakeUpstream:
    """Plays scripts on 127.0.0.1 and a free port, with `tls` over https.

    A connection takes one request after the other; the next request ends the script of the one before it.
    `requests` are those received, in order; `connections` counts the accepted connections; `models` are those that it
    lists.
    """

    def __init__(self, *scripts: Script, models: Sequence[str] = ("fake",), tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self.models = models
        self._tls = tls
        self._closed: list[asyncio.Future[float]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self._accepted = asyncio.Event()
        self.requests: list[Request] = []
        self.connections = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def accepted(self) -> None:
        """Waits until a connection was accepted, whether or not a request comes over it."""
        await self._accepted.wait()

    async def received(self, count: int = 1) -> None:
        """Waits until `count` requests have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)

    async def closed(self, index: int = 0) -> float:
        """Waits until the client has closed the connection of this request; returns the loop's time of that."""
        await self.received(index + 1)
        return await asyncio.shield(self._closed[index])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._accepted.set()
        task = asyncio.ensure_future(self._attend(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        try:
            await self._serve(reader, writer, gone)
        except (OSError, asyncio.IncompleteReadError):
            gone.set_result(asyncio.get_running_loop().time())
        finally:
            writer.transport.abort()

    def _script(self) -> Script:
        return self._scripts[min(len(self.requests), len(self._scripts) - 1)] if self._scripts else ()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Future[float]
    ) -> None:
        script = self._script()
        if script and isinstance(script[0], NeverRead):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()
        play: asyncio.Task[None] | None = None
        try:
            while True:
                request = await read_request(reader)
                if play is not None:
                    play.cancel()
                play = asyncio.ensure_future(Play(writer).run(await self._answer(request, gone)))
                play.add_done_callback(lambda task: task.cancelled() or task.exception())
        finally:
            if play is not None:
                play.cancel()

    async def _answer(self, request: Request, gone: asyncio.Future[float]) -> Script:
        if request.method == "GET" and request.path.endswith("/models"):
            data = [{"id": name, "object": "model", "created": 0, "owned_by": "fake"} for name in self.models]
            return [Reply(200, {"object": "list", "data": data})]
        script = self._script()
        self.requests.append(request)
        self._closed.append(gone)
        async with self._changed:
            self._changed.notify_all()
        return script


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Reads one request with a content-length, or none."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


class Play:
    """Plays one script on one connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._chunked = False

    async def run(self, script: Script) -> None:
        """Plays one step after the other; the kernel has taken the bytes of each before the next."""
        for step in script:
            await self._step(step)
            await self._writer.drain()

    async def _step(self, step: Step) -> None:
        match step:
            case Tokens():
                await self._tokens(step)
            case Pause():
                await asyncio.sleep(step.seconds)
            case Wait():
                await step.event.wait()
            case Hang() | NeverRead():
                await asyncio.Event().wait()
            case Reset():
                reset(self._writer)
            case _:
                self._write(step)

    def _write(self, step: Reply | Head | Send | Raw | End | Close) -> None:
        match step:
            case Reply():
                self._reply(step)
            case Head():
                self._head(step)
            case Send():
                self._send(step.data)
            case Raw():
                self._writer.write(step.data)
            case End():
                self._end()
            case Close():
                self._writer.close()

    async def _tokens(self, step: Tokens) -> None:
        for text in step.texts:
            if step.delay:
                await asyncio.sleep(step.delay)
            self._send(chunk({"content": text}))
            await self._writer.drain()

    def _reply(self, step: Reply) -> None:
        body = step.body if isinstance(step.body, bytes) else msgspec.json.encode(step.body)
        headers = {"content-type": "application/json", "content-length": str(len(body)), **step.headers}
        self._writer.write(head(step.status, headers) + body)

    def _head(self, step: Head) -> None:
        self._chunked = step.chunked
        headers = {"content-type": "text/event-stream; charset=utf-8", **step.headers}
        if step.chunked:
            headers["transfer-encoding"] = "chunked"
        self._writer.write(head(200, headers))

    def _send(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _end(self) -> None:
        if self._chunked:
            self._writer.write(b"0\r\n\r\n")
        else:
            self._writer.close()


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """A response's head."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes with an RST, by an SO_LINGER of 0 seconds (socket(7))."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
