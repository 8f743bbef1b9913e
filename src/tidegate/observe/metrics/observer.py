"""Counts what happens."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.errors import TidegateError, UpstreamRefused
from tidegate.observe.base import (
    CallRefused,
    GenerationEnded,
    Observer,
    Occurrence,
    ReaderAttached,
    RequestDone,
    UpstreamAttempt,
)
from tidegate.observe.metrics.meter import Meter
from tidegate.observe.metrics.table import LIMITS

NO_ROUTE = "none"
"""The `route` of requests to paths at which there is nothing; their paths may be anything."""

GONE = "0"
"""The `status` of requests whose client left before there was one."""


class MetricsObserver(Observer):
    """Takes its labels from closed sets: what clients and upstreams make up is never one."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._codes = frozenset(_codes(TidegateError))

    def observe(self, occurrence: Occurrence) -> None:
        match occurrence:
            case RequestDone():
                self._request(occurrence)
            case GenerationEnded():
                self._generation(occurrence)
            case UpstreamAttempt(model, upstream, outcome):
                self._meter.counter("tidegate_upstream_attempts_total", model, upstream, outcome).add(1)
            case ReaderAttached(transport=transport, resumed=True):
                self._meter.counter("tidegate_resumes_total", transport).add(1)
            case CallRefused(code):
                self._reject(code)
            case _:
                pass

    def _request(self, done: RequestDone) -> None:
        status = GONE if done.status is None else str(done.status)
        seconds = done.head_s if done.streamed and done.head_s is not None else done.duration_s
        self._meter.histogram("tidegate_request_seconds", done.route or NO_ROUTE, status).observe_traced(seconds)
        if done.code is not None:
            self._reject(done.code)

    def _generation(self, ended: GenerationEnded) -> None:
        # An upstream chooses the code of its refusal.
        code = "" if ended.code is None else ended.code
        if ended.status == "failed" and code not in self._codes:
            code = UpstreamRefused.code
        meter = self._meter
        meter.counter("tidegate_generations_total", ended.model, ended.status, code).add(1)
        meter.histogram("tidegate_generation_seconds", ended.model).observe_traced(ended.duration_s)
        meter.counter("tidegate_tokens_total", ended.model, "prompt").add(ended.prompt_tokens)
        meter.counter("tidegate_tokens_total", ended.model, "completion").add(ended.completion_tokens)

    def _reject(self, code: str) -> None:
        if code in LIMITS:
            self._meter.counter("tidegate_rejections_total", LIMITS[code]).add(1)


def _codes(kind: type[TidegateError]) -> Iterator[str]:
    yield kind.code
    for narrower in kind.__subclasses__():
        yield from _codes(narrower)
