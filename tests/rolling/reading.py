"""What one reader has had of one stream: whether that is all of it, once and in order, and how long it had to wait."""

from __future__ import annotations

import msgspec

ENDS = frozenset({"completed", "cancelled", "failed"})

_Data = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_Text = msgspec.json.Decoder(str).decode


class Wait(msgspec.Struct, frozen=True):
    """How long a reader waited for an event beyond the model's own pause, and what happened meanwhile: each with the
    seconds that had passed since the event before."""

    reader: str
    seconds: float
    trail: tuple[tuple[str, float], ...] = ()


class Reading:
    """Takes the events of one reader, over however many connections. `pause` is the model's, in seconds."""

    def __init__(self, name: str, pause: float) -> None:
        self.name = name
        self.text = ""
        self.end = ""
        self.problems: list[str] = []
        self.longest = Wait(name, 0.0)
        self.connections = 0
        self._pause = pause
        self._offset = 0
        self._at: float | None = None
        self._trail: list[tuple[str, float]] = []

    def note(self, what: str, now: float) -> None:
        """Keeps what happened to the connection, in case that the next event is late."""
        self._trail.append((what, now))

    def take(self, kind: str, data: bytes | msgspec.Raw, cursor: str, now: float) -> None:
        """Takes an event of the log, or a notice of a gap."""
        if kind == "gap":
            self.problems.append(f"has a gap at {cursor}")
            return
        self._waited(now)
        size = 1
        if kind == "delta":
            text = _Text(_Data(data)["text"])
            self.text += text
            size = len(text.split())
        offset = int(cursor.rpartition("-")[2])
        # Neighbouring texts may be merged for a reader that was behind: each word is an event of its own.
        if offset != self._offset + size:
            self.problems.append(f"has {kind} {offset} after {self._offset}")
        self._offset = offset
        if kind in ENDS:
            self.end = kind if kind != "failed" else f"failed: {bytes(data).decode()}"

    def check(self, text: str) -> list[str]:
        """What was wrong, for a stream that should have had this text."""
        found = [f"{self.name} {problem}" for problem in self.problems]
        if self.end != "completed":
            found.append(f"{self.name} has the end {self.end!r}")
        if self.text != text:
            found.append(f"{self.name} has {len(self.text)} characters, which are not the {len(text)} of the stream")
        return found

    def _waited(self, now: float) -> None:
        since, self._at = self._at, now
        if since is not None and now - since - self._pause > self.longest.seconds:
            trail = tuple((what, at - since) for what, at in self._trail)
            self.longest = Wait(self.name, now - since - self._pause, trail)
        self._trail.clear()
