"""One way in which an upstream behaves, and what has to come of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Call = tuple[str, str, str]
"""Id, name and arguments of a tool call."""

Usage = tuple[int, int]
"""Tokens of the prompt and of the answer."""

COUNTED: Usage = (7, 3)

PROMPT_TOKENS = 5
"""The estimate for `QUESTION`."""

QUESTION = "12345678901234567890"


@dataclass(frozen=True)
class Behaviour:
    """`reply` is the response as it is sent, or makes it from the request's JSON; then the connection is closed.

    The answer has `text`, `refusal`, `reasoning`, `calls` and the finish reason `finish`, or fails with `error`, a
    code and a status, after what came before. `usage` is None where it is estimated. `message`, `choice` and `head`
    are further fields of the whole chat answer, `details` of its usage. `asked` counts the requests it takes.
    """

    name: str
    reply: bytes | Callable[[dict[str, Any]], bytes]
    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    error: tuple[str, int] | None = None
    words: str = ""
    usage: Usage | None = COUNTED
    pieces: int | None = None
    head: dict[str, Any] = field(default_factory=dict[str, Any])
    choice: dict[str, Any] = field(default_factory=dict[str, Any])
    message: dict[str, Any] = field(default_factory=dict[str, Any])
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    asked: int = 1
    main: bool = False


def head(status: str = "200 OK", kind: str = "text/event-stream", *extra: str) -> bytes:
    """The head of a response that lasts until the connection is closed."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-type: {kind}", *extra, "", ""]).encode("latin-1")


def data(value: object) -> bytes:
    """One event; bytes are its data as they are."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def said(delta: object = None, finish: object = None, **choice: Any) -> dict[str, Any]:
    """A chunk's JSON."""
    chosen = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish, **choice}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [chosen]}


def chunk(delta: object = None, finish: object = None, **choice: Any) -> bytes:
    """A chunk as an event."""
    return data(said(delta, finish, **choice))


def text(*pieces: str) -> bytes:
    return b"".join(chunk({"content": piece}) for piece in pieces)


def counts(prompt: object = 7, completion: object = 3, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 10, **more}


def usage(value: object) -> bytes:
    """The chunk that comes last."""
    return data({"object": "chat.completion.chunk", "choices": [], "usage": value})


def stream(*events: bytes) -> bytes:
    """An event stream with usage and `[DONE]` at its end."""
    return head() + b"".join(events) + USAGE + DONE


def bare(*events: bytes) -> bytes:
    """An event stream with nothing at its end."""
    return head() + b"".join(events)


def answer(body: object, status: str = "200 OK", kind: str = "application/json", *extra: str) -> bytes:
    """A whole response with JSON, or with the bytes that are given."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(status, kind, f"content-length: {len(content)}", *extra) + content


def completion(message: object, finish: object = "stop", **more: Any) -> dict[str, Any]:
    """A completion that is sent as a whole."""
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}


def calls(*fragments: object) -> bytes:
    return chunk({"tool_calls": list(fragments)})


def function(name: object = None, arguments: object = None, **call: Any) -> dict[str, Any]:
    """A fragment of a tool call."""
    named = {"name": name, "arguments": arguments}
    return {"type": "function", "function": {key: each for key, each in named.items() if each is not None}, **call}


USAGE = usage(counts())
DONE = b"data: [DONE]\n\n"
STOP = chunk({}, "stop")
CALLED = chunk({}, "tool_calls")
HELLO = text("Hel", "lo")
