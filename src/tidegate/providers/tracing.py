"""Headers that tell an upstream where a request comes from."""

from __future__ import annotations

from tidegate.core.request_id import current_request_id
from tidegate.core.trace_context import current_trace


def tracing_lines() -> bytes:
    """The header lines that relate the upstream's log to ours: the request id, and the span of the attempt.

    Both were checked when the request began. A generation that no request started has neither.
    """
    lines: list[str] = []
    if (request_id := current_request_id.get()) is not None:
        lines.append(f"x-request-id: {request_id}\r\n")
    if (trace := current_trace.get()) is not None:
        lines.append(f"traceparent: {trace.header()}\r\n")
        if trace.state:
            lines.append(f"tracestate: {trace.state}\r\n")
    return "".join(lines).encode("ascii")
