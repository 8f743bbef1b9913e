"""Our spans' ids in the form of OpenTelemetry's."""

from __future__ import annotations

from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from tidegate.core.trace_context import TraceContext

SCOPE = InstrumentationScope("tidegate")
"""What has made all spans and metrics."""


def context_of(span: TraceContext, span_id: str = "") -> SpanContext:
    """The context of a span, or of another one of its trace, e.g. its parent."""
    return SpanContext(
        int(span.trace_id, 16),
        int(span_id or span.span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(span.flags),
        trace_state=TraceState.from_header([span.state]) if span.state else None,
    )
