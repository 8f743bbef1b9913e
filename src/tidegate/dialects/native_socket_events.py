"""The events of one stream or topic as WebSocket messages: `{"stream", "cursor", "type", "data"}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from weakref import WeakValueDictionary

import msgspec

from tidegate.core import batching, events
from tidegate.core.cursor import Cursor
from tidegate.core.cursor import parse as parse_cursor
from tidegate.core.fold import Snapshot
from tidegate.core.log import Entry
from tidegate.core.notices import Gap, Notice, Presence, Reconnect, Subscribed
from tidegate.core.ws_frame import BINARY, TEXT, frame
from tidegate.dialects.native_socket import Codec


class SocketEvents:
    """The native dialect over WebSocket, for one stream or topic in one codec. It has no state.

    `encode` and `notice` return whole frames, to be written as they are; `messages` and `message` their payloads alone.
    The notice encoded last is kept, since all readers of a topic are told of who comes and goes one after the other.
    """

    remembers = False
    headers: Sequence[tuple[bytes, bytes]] = ()
    preamble = b""
    # The connection has pings of its own.
    heartbeat = b""

    def __init__(self, kind: Literal["stream", "topic"], name: str, codec: Codec) -> None:
        self._kind = kind
        self._name = name
        self._codec = codec
        self._opcode = BINARY if codec.binary else TEXT
        self._head = b'{"%b":%b,' % (kind.encode(), msgspec.json.encode(name))
        self._last_notice: tuple[Notice | None, bytes] = (None, b"")

    def begin(self) -> None:
        """There is nothing to remember."""

    def skip(self, state: None, entries: Sequence[Entry]) -> None:
        """There is nothing to remember."""

    def fork(self, state: None) -> None:
        """There is nothing to remember."""

    def encode(self, state: None, entries: Sequence[Entry], *, merge: bool) -> bytes:
        """The frames of log entries."""
        return b"".join([frame(self._opcode, message) for message in self.messages(state, entries, merge=merge)])

    def position(self, token: str, *, param: str) -> Cursor:
        """The cursor of an event. Raises `MalformedCursor` naming `param`."""
        return parse_cursor(token, param=param)

    def notice(self, state: None, notice: Notice) -> bytes:
        """The frame of a notice; the same bytes for all readers that get the same notice."""
        known, encoded = self._last_notice
        if notice is not known:
            encoded = frame(self._opcode, self.message(state, notice))
            self._last_notice = (notice, encoded)
        return encoded

    def messages(self, state: None, entries: Sequence[Entry], *, merge: bool) -> list[bytes]:
        """One message for each entry, or for each run of merged texts."""
        encode = self._packed if self._codec.binary else self._json
        return [encode(entry) for entry in (batching.merge(entries) if merge else entries)]

    def message(self, state: None, notice: Notice) -> bytes:
        """The message of a notice. A gap has the cursor after which the log continues, a subscription the one where it
        begins."""
        match notice:
            case Gap(asked, to):
                return self._other("gap", {"from": str(asked), "to": str(to)}, str(to))
            case Reconnect(after_ms, reason):
                return self._other("reconnect", {"after_ms": after_ms, "reason": reason})
            case Subscribed(at, current):
                return self._other("subscribed", {"cursor": str(at), "state": msgspec.json.decode(current)}, str(at))
            case Presence(joined, left):
                return self._other("presence", {"joined": joined, "left": left})

    def snapshot(self, snapshot: Snapshot, rest: Cursor) -> bytes:
        """The message that replaces the events so far; further events follow after `rest`."""
        # Encoded and decoded as JSON, since the upstream's `usage.details` are kept as JSON.
        return self._other("snapshot", msgspec.json.decode(msgspec.json.encode(snapshot)), str(rest))

    def _json(self, entry: Entry) -> bytes:
        name, data = events.wire_form(entry.json)
        return b'%b"cursor":"%b-%d","type":%b,"data":%b}' % (
            self._head,
            entry.epoch.encode(),
            entry.offset,
            msgspec.json.encode(name.decode()),
            data,
        )

    def _packed(self, entry: Entry) -> bytes:
        name, data = events.wire_form(entry.json)
        return self._other(name.decode(), msgspec.json.decode(data), str(entry.cursor))

    def _other(self, type: str, data: Any, cursor: str | None = None) -> bytes:
        where = {self._kind: self._name} if cursor is None else {self._kind: self._name, "cursor": cursor}
        return self._codec.encode({**where, "type": type, "data": data})


class SocketDialects:
    """The WebSocket dialects of one application: one for each stream or topic and codec, while a reader uses it."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[tuple[str, str, str], SocketEvents] = WeakValueDictionary()

    def of(self, kind: Literal["stream", "topic"], name: str, codec: Codec) -> SocketEvents:
        """The dialect that all readers of this stream or topic share in this codec."""
        key = (kind, name, codec.subprotocol)
        found = self._held.get(key)
        if found is None:
            self._held[key] = found = SocketEvents(kind, name, codec)
        return found
