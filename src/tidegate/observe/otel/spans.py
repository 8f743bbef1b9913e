"""Makes spans of what has happened: of a request, of a generation, of an attempt at an upstream.

Each is made once, when it is over, from the ids that it had all along. Names and attributes are those of the semantic
conventions for HTTP and for generative AI, and `tidegate.…` for what is ours; `docs/telemetry.md` lists them. Prompts
and answers are not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import Status, StatusCode

from tidegate.core.trace_context import SAMPLED, TraceContext
from tidegate.observe.base import GenerationEnded, Observer, Occurrence, RequestDone, UpstreamAttempt
from tidegate.observe.otel.context import SCOPE, context_of

Attributes = Mapping[str, str | int | float | tuple[str, ...] | None]

OPERATION = "chat"
"""The `gen_ai.operation.name` of all generations: a prompt is a chat of one message."""


class SpansObserver(Observer):
    """Passes the span of each request, generation and attempt that is sampled to `end`. `now_ns` is Unix time."""

    def __init__(self, resource: Resource, end: Callable[[ReadableSpan], None], now_ns: Callable[[], int]) -> None:
        self._resource = resource
        self._end = end
        self._now_ns = now_ns

    def observe(self, occurrence: Occurrence) -> None:
        match occurrence:
            case RequestDone(span=TraceContext() as span):
                failed = occurrence.status is not None and occurrence.status >= 500
                name = f"{occurrence.method} {occurrence.route}" if occurrence.route else occurrence.method
                self._over(span, name, SpanKind.SERVER, occurrence.duration_s, of_request(occurrence), failed=failed)
            case GenerationEnded(span=TraceContext() as span):
                failed = occurrence.status == "failed"
                name = f"{OPERATION} {occurrence.model}"
                kind = SpanKind.INTERNAL
                self._over(span, name, kind, occurrence.duration_s, of_generation(occurrence), failed=failed)
            case UpstreamAttempt(span=TraceContext() as span):
                failed = occurrence.outcome == "failed"
                name = f"attempt {occurrence.upstream}"
                self._over(span, name, SpanKind.CLIENT, occurrence.duration_s, of_attempt(occurrence), failed=failed)
            case _:
                pass

    def _over(
        self, span: TraceContext, name: str, kind: SpanKind, seconds: float, attributes: Attributes, *, failed: bool
    ) -> None:
        if not span.flags & SAMPLED:
            return
        end = self._now_ns()
        self._end(
            ReadableSpan(
                name,
                context=context_of(span),
                parent=context_of(span, span.parent_id) if span.parent_id else None,
                resource=self._resource,
                attributes={key: value for key, value in attributes.items() if value is not None},
                kind=kind,
                status=Status(StatusCode.ERROR) if failed else Status(),
                start_time=end - int(seconds * 1e9),
                end_time=end,
                instrumentation_scope=SCOPE,
            )
        )


def of_request(done: RequestDone) -> Attributes:
    """The attributes of a request's span. The path has its secrets masked, and no query."""
    return {
        "http.request.method": done.method,
        "http.route": done.route,
        "http.response.status_code": done.status,
        "url.path": done.path,
        "client.address": done.address,
        "error.type": done.code,
        "tidegate.request_id": done.request_id,
        "tidegate.principal": done.principal,
        "tidegate.stream": done.stream,
    }


def of_generation(ended: GenerationEnded) -> Attributes:
    """The attributes of a generation's span."""
    reason = ended.finish_reason
    return {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": ended.provider,
        "gen_ai.request.model": ended.model,
        "gen_ai.response.finish_reasons": None if reason is None else (reason,),
        "gen_ai.usage.input_tokens": ended.prompt_tokens,
        "gen_ai.usage.output_tokens": ended.completion_tokens,
        "error.type": ended.code if ended.status == "failed" else None,
        "tidegate.stream": ended.stream,
        "tidegate.principal": ended.principal,
        "tidegate.status": ended.status,
        "tidegate.cancelled_by": ended.code if ended.status == "cancelled" else None,
        "tidegate.queued_seconds": ended.queued_s,
        "tidegate.first_token_seconds": ended.first_token_s,
    }


def of_attempt(attempt: UpstreamAttempt) -> Attributes:
    """The attributes of the span of an attempt at an upstream, by host and port: a URL may hold credentials."""
    host, _, port = attempt.upstream.rpartition(":")
    return {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": attempt.provider,
        "gen_ai.request.model": attempt.model,
        "server.address": host.strip("[]"),
        "server.port": int(port) if port.isdigit() else None,
        "error.type": attempt.code,
        "tidegate.outcome": attempt.outcome,
    }
