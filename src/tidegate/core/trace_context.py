"""The trace that a request belongs to, as W3C Trace Context (https://www.w3.org/TR/trace-context/) propagates it."""

from __future__ import annotations

import re
from contextvars import ContextVar

import msgspec

SAMPLED = 0x01
"""The only flag of version 00; the others are reserved and must be sent as zero (3.2.2.5)."""

MAX_STATE_CHARACTERS = 512
MAX_STATE_MEMBERS = 32

# A later version may append fields, behind one more dash (3.2.4); version 00 ends with its flags.
_PARENT = re.compile(
    rb"(?!ff)(?!00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.DOTALL
)

_MEMBER = re.compile(
    rb"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


class TraceContext(msgspec.Struct, frozen=True):
    """One span of a trace: 32 and 16 hexadecimal digits, `SAMPLED` or 0, and the value of `tracestate` or nothing.

    `parent_id` is the id of the parent span, empty if there is none or it is unknown. Each field is safe in a header
    and in a log line.
    """

    trace_id: str
    span_id: str
    flags: int
    state: str = ""
    parent_id: str = ""

    @classmethod
    def start(cls, entropy: bytes, *, sampled: bool = False) -> TraceContext:
        """A new trace. `entropy`: 24 random bytes."""
        return cls(entropy[:16].hex(), entropy[16:].hex(), SAMPLED if sampled else 0)

    def child(self, entropy: bytes) -> TraceContext:
        """Another span of the same trace. `entropy`: 8 random bytes."""
        return TraceContext(self.trace_id, entropy.hex(), self.flags, self.state, self.span_id)

    def header(self) -> str:
        """The value of `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


current_trace: ContextVar[TraceContext | None] = ContextVar("current_trace", default=None)
"""The current span: that of a request that is being served, or of an attempt at an upstream for it. Tasks that a
request starts inherit it."""


def sent_trace(headers: list[tuple[bytes, bytes]]) -> TraceContext | None:
    """The client's own span; None unless there is exactly one valid `traceparent`. Header names are in lower case."""
    parents = [value for name, value in headers if name == b"traceparent"]
    found = _PARENT.fullmatch(parents[0].strip(b" \t")) if len(parents) == 1 else None
    if found is None:
        return None
    trace_id, span_id, flags = (part.decode("ascii") for part in found.groups())
    return TraceContext(trace_id, span_id, int(flags, 16) & SAMPLED, _sent_state(headers))


def _sent_state(headers: list[tuple[bytes, bytes]]) -> str:
    """All `tracestate` headers as one value, without white space and empty members; empty if any part is invalid."""
    combined = b",".join(value for name, value in headers if name == b"tracestate")
    members = [member for each in combined.split(b",") if (member := each.strip(b" \t"))]
    if len(combined) > MAX_STATE_CHARACTERS or len(members) > MAX_STATE_MEMBERS:
        return ""
    return b",".join(members).decode("ascii") if all(map(_MEMBER.fullmatch, members)) else ""
