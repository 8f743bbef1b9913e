"""What event streams and the WebSocket carry, each shown by a sample: `/openapi.json` has no other way to say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.core import sse

STREAM = "gen_7f3a51c09b2e4d68a1f0c3e5d7b9a824"
USAGE = {"prompt_tokens": 14, "completion_tokens": 2, "total_tokens": 16, "estimated": False}


class EventKind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of event: its name, when it comes, and its data. `id` is that of the sample, empty where it has none."""

    event: str
    about: str
    data: dict[str, Any]
    id: str = ""

    def block(self) -> str:
        """The sample as it is sent."""
        data = msgspec.json.encode(self.data)
        return sse.encode(data, event=self.event, id=self.id or None).decode()


class EventStream(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one kind of answer. `sample` is a whole one; `kinds` is empty where events have no names."""

    name: str
    about: str
    sample: str
    kinds: Sequence[EventKind] = ()

    def schema(self) -> dict[str, Any]:
        """Its description, with the table of its events as an extension."""
        # No type: some take the schema of an event stream for that of its text, others for that of each event.
        described: dict[str, Any] = {"description": self.about, "examples": [self.sample]}
        table = [msgspec.to_builtins(kind) for kind in self.kinds]
        return {**described, "x-events": table} if table else described


class SocketCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the WebSocket: what it does, what may be in it, and what is answered."""

    op: str
    about: str
    call: dict[str, Any]
    ok: dict[str, Any]


STARTED = EventKind(
    event="started",
    about="The first of each stream, appended when it is created.",
    id="5k2q-1",
    data={"id": STREAM, "model": "smollm2", "created_at": 1764403200.25},
)
DELTA = EventKind(
    event="delta", about="A piece of the answer. Pieces may come merged into one.", id="5k2q-2", data={"text": "It is"}
)
COMPLETED = EventKind(
    event="completed",
    about="The end: the model has finished. `finish_reason` is `stop`, `length`, `tool_calls` or `content_filter`.",
    id="5k2q-4",
    data={"finish_reason": "stop", "usage": USAGE},
)
GAP = EventKind(
    event="gap",
    about="What was asked for is no longer kept: what follows is after `to`.",
    id="5k2q-40",
    data={"from": "5k2q-7", "to": "5k2q-40"},
)
RECONNECT = EventKind(
    event="reconnect",
    about="Come back after so many milliseconds. `reason` is `draining`, `age`, `token_expired` or `capacity`.",
    data={"after_ms": 250, "reason": "draining"},
)
SUBSCRIBED = EventKind(
    event="subscribed",
    about="The first of each answer: where it begins, and the topic's state.",
    id="9c1x-11",
    data={"cursor": "9c1x-11", "state": None},
)
MESSAGE = EventKind(
    event="message",
    about="Somebody has published. It has the `type` that was published as its name, and `state` where it set that.",
    id="9c1x-12",
    data={"data": {"text": "Good morning"}, "from": "key:ada", "at": 1764403200.25},
)


def _sample(*kinds: EventKind) -> str:
    """An answer with these events, after the lines that each begins with."""
    return "retry: 1000\n: heartbeat=15\n\n" + "".join(kind.block() for kind in kinds)


STREAM_EVENTS = EventStream(
    name="StreamEvents",
    about="Server-sent events. Each `id` is the cursor to come back with, and every stream ends with exactly one of "
    "`completed`, `cancelled` and `failed`. Comments say that the connection lives.",
    sample=_sample(
        STARTED,
        DELTA,
        EventKind(event="delta", about="", id="5k2q-3", data={"text": " the rivers."}),
        COMPLETED,
    ),
    kinds=(
        STARTED,
        DELTA,
        EventKind(
            event="reasoning",
            about="A piece of what the model thinks before it answers.",
            id="5k2q-2",
            data={"text": "Rivers carry salt"},
        ),
        EventKind(
            event="tool_call",
            about="A fragment of a tool call: `id` and `name` once, `arguments` in pieces.",
            id="5k2q-3",
            data={"index": 0, "id": "call_1", "name": "tide", "arguments": '{"port":"Brest"}'},
        ),
        COMPLETED,
        EventKind(
            event="cancelled",
            about="The end: somebody stopped it. `by` is `client`, `disconnect` or `server`.",
            id="5k2q-4",
            data={"by": "client", "reason": None, "usage": USAGE},
        ),
        EventKind(
            event="failed",
            about="The end: it broke. The codes are those of all errors.",
            id="5k2q-4",
            data={
                "error": {
                    "type": "server_error",
                    "code": "interrupted",
                    "message": "the process that filled the stream stopped before its end",
                },
                "usage": USAGE,
            },
        ),
        EventKind(
            event="snapshot",
            about="With `snapshot=1`, in place of the events so far: the stream as it is now.",
            id="5k2q-3",
            data={"id": STREAM, "model": "smollm2", "status": "running", "text": "It is the rivers."},
        ),
        GAP,
        RECONNECT,
    ),
)

TOPIC_EVENTS = EventStream(
    name="TopicEvents",
    about="Server-sent events, without an end. Each `id` is the cursor to come back with.",
    sample=_sample(SUBSCRIBED, MESSAGE),
    kinds=(
        SUBSCRIBED,
        MESSAGE,
        EventKind(event="presence", about="Who has come, and who has left.", data={"joined": ["key:ada"], "left": []}),
        GAP,
        RECONNECT,
    ),
)

_CHUNK = '{"id":"chatcmpl-7f3a51c0","object":"chat.completion.chunk","created":1764403200,"model":"smollm2","choices":'
CHAT_CHUNKS = EventStream(
    name="ChatCompletionChunks",
    about="OpenAI's chunks: server-sent events without a name and without an `id`. `[DONE]` is the last.",
    sample="".join(
        f"data: {data}\n\n"
        for data in (
            _CHUNK + '[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}',
            _CHUNK + '[{"index":0,"delta":{"content":"It is the rivers."},"finish_reason":null}]}',
            _CHUNK + '[{"index":0,"delta":{},"finish_reason":"stop"}]}',
            "[DONE]",
        )
    ),
)

SOCKET_CALLS = (
    SocketCall(
        op="create",
        about="Starts a generation, and follows it unless `attach` is false. It takes what `POST /v1/streams` takes; "
        "repeated with its `key`, it leads to the same stream.",
        call={"id": 1, "op": "create", "model": "smollm2", "prompt": "Why is the sea salty?"},
        ok={"stream": STREAM, "cursor": "5k2q-0"},
    ),
    SocketCall(
        op="attach",
        about="Follows a stream `after` a cursor, from its beginning, or, with `snapshot`, from how it is now.",
        call={"id": 2, "op": "attach", "stream": STREAM, "after": "5k2q-2"},
        ok={"stream": STREAM, "cursor": "5k2q-2"},
    ),
    SocketCall(op="detach", about="Follows it no more.", call={"id": 3, "op": "detach", "stream": STREAM}, ok={}),
    SocketCall(
        op="cancel",
        about="Ends a stream. The answer comes once it has ended.",
        call={"id": 4, "op": "cancel", "stream": STREAM},
        ok={"status": "cancelled", "cursor": "5k2q-4"},
    ),
    SocketCall(
        op="subscribe",
        about="Follows a topic `after` a cursor, from `earliest`, or from `latest`.",
        call={"id": 5, "op": "subscribe", "topic": "lobby", "after": "earliest"},
        ok={"topic": "lobby", "cursor": "9c1x-0", "state": None},
    ),
    SocketCall(
        op="unsubscribe",
        about="Follows it no more.",
        call={"id": 6, "op": "unsubscribe", "topic": "lobby"},
        ok={},
    ),
    SocketCall(
        op="publish",
        about="Publishes to a topic, once for each `key`. `type` names the event, `state` makes it the topic's state.",
        call={"id": 7, "op": "publish", "topic": "lobby", "data": {"text": "Good morning"}},
        ok={"cursor": "9c1x-12"},
    ),
    SocketCall(
        op="presence",
        about="Asks who is subscribed to a topic.",
        call={"id": 8, "op": "presence", "topic": "lobby"},
        ok={"present": [{"principal": "key:ada", "connections": 1}]},
    ),
    SocketCall(
        op="auth",
        about="Says who is calling: at first, or with a new token before the old one expires.",
        call={"id": 9, "op": "auth", "token": "…"},
        ok={"principal": "key:ada"},
    ),
    SocketCall(op="ping", about="Asks for an answer.", call={"id": 10, "op": "ping"}, ok={}),
)
