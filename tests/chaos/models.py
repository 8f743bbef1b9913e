"""The models of a run: their configuration, what they answer, and the upstream behind those of `openai`.

A prompt is JSON: `{"name", "tokens", "rate", "fault", "at"}`. The answer is the words `NAME.0 NAME.1 …`, so many of
them, at so many a second; at word `at` the fault happens. `replay` models know one text only, and no faults.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Self

import msgspec

from tidegate.testing.upstream import (
    DONE,
    End,
    Hang,
    Head,
    Pause,
    Play,
    Raw,
    Reply,
    Request,
    Reset,
    Send,
    Step,
    Tokens,
    chunk,
    read_request,
    usage,
)

REPLAY_WORDS = 400
REPLAY_TEXT = " ".join(f"w{index}" for index in range(REPLAY_WORDS))
REPLAY_RATES = {"slow": 50, "fast": 150, "rush": 0}

STALL_SECONDS = 0.8
"""After so long without a token the `openai` models give up."""

PYTHON_FAULTS = ("raise", "hang")
UPSTREAM_FAULTS = ("refuse", "reset", "malformed", "silent", "early_end", "pause")


class How(msgspec.Struct, frozen=True):
    """A prompt. `fault` is one of `PYTHON_FAULTS` or `UPSTREAM_FAULTS`, or nothing."""

    name: str
    tokens: int
    rate: float
    fault: str = ""
    at: int = -1

    def prompt(self) -> str:
        return msgspec.json.encode(self).decode()


def answer(model: str, how: How) -> str:
    """What the model answers when nothing goes wrong."""
    if model.startswith("replay"):
        return " ".join(REPLAY_TEXT.split()[: how.tokens])
    return " ".join(f"{how.name}.{index}" for index in range(how.tokens))


def configuration(upstream_url: str) -> str:
    """The `[[models]]` of a run."""
    tables: list[dict[str, Any]] = []
    for speed, rate in REPLAY_RATES.items():
        for name, can_continue in ((f"replay-{speed}", False), (f"replay-{speed}-on", True)):
            tables.append(
                {
                    "name": name,
                    "provider": "replay",
                    "text": REPLAY_TEXT,
                    "tokens": REPLAY_WORDS,
                    "rate": rate,
                    "can_continue": can_continue,
                }
            )
    tables += [
        {"name": f"python-{how}", "provider": "python", "target": f"chaos_target:{how}"}
        for how in ("awaited", "threaded")
    ]
    tables += [
        {
            "name": name,
            "provider": "openai",
            "base_url": upstream_url,
            "stall_timeout": STALL_SECONDS,
            "first_token_timeout": STALL_SECONDS,
            "can_continue": can_continue,
        }
        for name, can_continue in (("openai", False), ("openai-on", True))
    ]
    return "\n".join(
        "[[models]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()) for table in tables
    )


class Upstream:
    """An OpenAI-compatible server that does what each prompt says. It goes on where the partial answer ends."""

    def __init__(self) -> None:
        self._attending: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._attending:
            task.cancel()
        await asyncio.gather(*self._attending, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._attend(reader, writer))
        self._attending.add(task)
        task.add_done_callback(self._attending.discard)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        play: asyncio.Future[None] | None = None
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                # One request after the other, until the client leaves.
                while True:
                    request = await read_request(reader)
                    if play is not None:
                        play.cancel()
                    play = asyncio.ensure_future(Play(writer).run(script(request)))
                    play.add_done_callback(lambda done: done.cancelled() or done.exception())
        finally:
            if play is not None:
                play.cancel()
            writer.transport.abort()


def script(request: Request) -> list[Step]:
    """What is answered to a request."""
    messages = request.json["messages"]
    how = msgspec.json.decode(next(m["content"] for m in messages if m["role"] == "user"), type=How)
    partial = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
    return [*_opening(how), *_body(how, skip=len(partial))]


def _opening(how: How) -> list[Step]:
    if how.fault == "refuse":
        return [Reply(500, {"error": {"type": "server_error", "code": "overloaded", "message": "as asked"}})]
    return [Head(), Send(chunk({"role": "assistant", "content": ""}))]


def _body(how: How, *, skip: int) -> list[Step]:
    if how.fault == "refuse":
        return []
    words = [f"{' ' * (index > 0)}{how.name}.{index}" for index in range(how.tokens)]
    whole = "".join(words)
    fault_at = len("".join(words[: how.at])) if how.fault else len(whole)
    delay = 1 / how.rate
    before = Tokens(_pieces(words, skip, min(fault_at, len(whole))), delay)
    after = Tokens(_pieces(words, max(skip, fault_at), len(whole)), delay)
    end: list[Step] = [Send(chunk({}, "stop")), Send(usage(7, how.tokens)), DONE, End()]
    faults: dict[str, list[Step]] = {
        "": [],
        "reset": [Reset(), Hang()],
        "malformed": [Send(b"data: {not json\n\n"), Hang()],
        "silent": [Hang()],
        "early_end": [Raw(b"0\r\n\r\n"), Hang()],
        "pause": [Pause(STALL_SECONDS / 2)],
    }
    return [before, *faults[how.fault], after, *end]


def _pieces(words: list[str], start: int, end: int) -> list[str]:
    """The words of a stretch of the text, given in characters; the first may be the rest of one."""
    pieces: list[str] = []
    at = 0
    for word in words:
        piece = word[max(0, start - at) : max(0, end - at)]
        at += len(word)
        if piece:
            pieces.append(piece)
    return pieces
