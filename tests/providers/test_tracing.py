from __future__ import annotations

from contextvars import copy_context

import msgspec
import pytest

from tidegate.core.request_id import current_request_id
from tidegate.core.trace_context import TraceContext, current_trace
from tidegate.providers.tracing import tracing_lines

TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)


@pytest.mark.parametrize(
    ("request_id", "trace", "lines"),
    [
        (None, None, ""),
        ("req_1", None, "x-request-id: req_1\r\n"),
        (None, TRACE, f"traceparent: {TRACE.header()}\r\n"),
        (
            "req_1",
            msgspec.structs.replace(TRACE, state="a=1,b=x y"),
            f"x-request-id: req_1\r\ntraceparent: {TRACE.header()}\r\ntracestate: a=1,b=x y\r\n",
        ),
    ],
)
def test_an_upstream_is_told_of_request_and_span(
    request_id: str | None, trace: TraceContext | None, lines: str
) -> None:
    """What no request has started says nothing of one."""

    def told() -> bytes:
        current_request_id.set(request_id)
        current_trace.set(trace)
        return tracing_lines()

    assert copy_context().run(told).decode() == lines
