"""The native dialect over SSE: events as `id`, `event` and `data`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tidegate.core import batching, events, sse
from tidegate.core.cursor import Cursor
from tidegate.core.cursor import parse as parse_cursor
from tidegate.core.fold import Summary
from tidegate.core.log import Entry
from tidegate.core.notices import Gap, Notice, Presence, Reconnect, Subscribed

RETRY_MS = 1000

SNAPSHOT_END = b"\n\n"


def interval(heartbeat_seconds: float) -> bytes:
    """The first comment of an event stream, which gives the heartbeat's interval: a client that receives nothing for
    longer may take the connection for dead."""
    return sse.comment(f"heartbeat={heartbeat_seconds:g}")


class NativeEvents:
    """The native dialect over SSE, which has no state.

    `as_message` sends every event under the default name, with its type in the data.
    """

    remembers = False
    headers: Sequence[tuple[bytes, bytes]] = ()
    preamble = b"retry: %d\n" % RETRY_MS
    heartbeat = sse.comment("heartbeat")

    def __init__(self, *, as_message: bool = False) -> None:
        self._as_message = as_message

    def begin(self) -> None:
        """There is nothing to remember."""

    def skip(self, state: None, entries: Sequence[Entry]) -> None:
        """There is nothing to remember."""

    def fork(self, state: None) -> None:
        """There is nothing to remember."""

    def encode(self, state: None, entries: Sequence[Entry], *, merge: bool) -> bytes:
        """The blocks of log entries, in one piece."""
        shown = batching.merge(entries) if merge else entries
        blocks = self._entry(shown[0]) if len(shown) == 1 else b"".join([self._entry(entry) for entry in shown])
        return blocks if blocks.isascii() else sse.escaped(blocks)

    def position(self, token: str, *, param: str) -> Cursor:
        """The cursor in an event's id. Raises `MalformedCursor` naming `param`."""
        return parse_cursor(token, param=param)

    def notice(self, state: None, notice: Notice) -> bytes:
        """The block of a notice. A gap's id is that after which the log continues, a subscription's where it begins."""
        match notice:
            case Gap(asked, to):
                return self._block("gap", {"from": str(asked), "to": str(to)}, id=str(to))
            case Reconnect(after_ms, reason):
                # `retry` is for `EventSource`.
                return b"retry: %d\n" % after_ms + self._block("reconnect", {"after_ms": after_ms, "reason": reason})
            case Subscribed(at, current):
                return self._block("subscribed", {"cursor": str(at), "state": msgspec.Raw(current)}, id=str(at))
            case Presence(joined, left):
                return self._block("presence", {"joined": joined, "left": left})

    def snapshot(self, summary: Summary, rest: Cursor) -> tuple[bytes, dict[str, object]]:
        """The bytes before the JSON of a snapshot, and the first fields of that JSON.

        `SNAPSHOT_END` follows the JSON. A client that comes back with the snapshot's id, `rest`, gets what follows.
        """
        fields = msgspec.structs.asdict(summary)
        before = f"id: {rest}\n" + ("" if self._as_message else "event: snapshot\n") + "data: "
        return before.encode(), {"type": "snapshot", **fields} if self._as_message else fields

    def _entry(self, entry: Entry) -> bytes:
        if self._as_message:
            return sse.encode(events.message_form(entry.json), id=str(entry.cursor))
        # Neither events in JSON nor our names and cursors have line breaks: the checks of `sse.encode` are not needed.
        name, data = events.wire_form(entry.json)
        return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (entry.epoch.encode(), entry.offset, name, data)

    def _block(self, name: str, data: Mapping[str, object], id: str | None = None) -> bytes:
        if self._as_message:
            return sse.escaped(sse.encode(msgspec.json.encode({"type": name, **data}), id=id))
        return sse.escaped(sse.encode(msgspec.json.encode(data), event=name, id=id))


EVENTS = NativeEvents()
MESSAGES = NativeEvents(as_message=True)
