"""Sends spans, metrics and log records to an OpenTelemetry Collector, from threads of their own.

What waits is bounded: past that the oldest is dropped. A Collector that is away, slow or out of order delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tidegate.observe.base import Observer
from tidegate.observe.metrics.series import Series
from tidegate.observe.otel.logs import LOGGERS, OtlpHandler
from tidegate.observe.otel.metrics import exported
from tidegate.observe.otel.spans import SpansObserver

METRICS_SECONDS = 10.0
"""From one export of the metrics to the next: what an alert adds to its own time."""

BATCH_SECONDS = 1.0
"""How long spans and log records wait for others, at the most."""

MOST_WAITING = 4096
"""Spans, and log records, that wait: with some 2 KB each, 8 MB of either."""

BATCH = 512
"""Spans, or log records, in a request: 1 MB at the most."""

SEND_SECONDS = 5.0
"""How long one batch may take. What cannot be sent in that time is dropped, and the next batch is tried."""

FLUSH_SECONDS = 2.5
"""How long the end of the process waits for what is pending: what is left of its five seconds once all has stopped."""


class Telemetry:
    """The three signals of one process. `node` names it, and `series` are all its measurements."""

    def __init__(self, endpoint: str, *, node: str, version: str, series: Callable[[], Sequence[Series]]) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._series = series
        self._since = time.time_ns()
        self._resource = Resource.create(
            {SERVICE_NAME: "tidegate", SERVICE_VERSION: version, SERVICE_INSTANCE_ID: node}
        )
        self._spans: BatchSpanProcessor | None = None
        self._logs: LoggerProvider | None = None
        self._metrics: OTLPMetricExporter | None = None
        self._handler: OtlpHandler | None = None
        self._measuring: asyncio.Task[None] | None = None
        self.observer: Observer = SpansObserver(self._resource, self._end, time.time_ns)

    def start(self) -> None:
        """Begins to send. Harmless when repeated."""
        if self._spans is not None:
            return
        self._spans = BatchSpanProcessor(
            OTLPSpanExporter(f"{self._endpoint}/v1/traces", timeout=SEND_SECONDS),
            max_queue_size=MOST_WAITING,
            max_export_batch_size=BATCH,
            schedule_delay_millis=BATCH_SECONDS * 1000,
        )
        self._logs = LoggerProvider(self._resource, shutdown_on_exit=False)
        self._logs.add_log_record_processor(
            BatchLogRecordProcessor(
                OTLPLogExporter(f"{self._endpoint}/v1/logs", timeout=SEND_SECONDS),
                max_queue_size=MOST_WAITING,
                max_export_batch_size=BATCH,
                schedule_delay_millis=BATCH_SECONDS * 1000,
            )
        )
        self._metrics = OTLPMetricExporter(f"{self._endpoint}/v1/metrics", timeout=SEND_SECONDS)
        self._handler = OtlpHandler(self._logs.get_logger("tidegate"))
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._handler)
        self._measuring = asyncio.get_running_loop().create_task(self._measure())

    async def close(self) -> None:
        """Sends what is pending, for `FLUSH_SECONDS` at the most."""
        if self._spans is None or self._logs is None or self._measuring is None:
            return
        self._measuring.cancel()
        for name in LOGGERS:
            if self._handler is not None:
                logging.getLogger(name).removeHandler(self._handler)
        ending = (partial(self._send, self._series()), self._spans.shutdown, self._logs.shutdown)
        await asyncio.wait([asyncio.ensure_future(_in_thread(each)) for each in ending], timeout=FLUSH_SECONDS)
        self._spans = self._logs = self._measuring = None

    def _end(self, span: ReadableSpan) -> None:
        if self._spans is not None:
            self._spans.on_end(span)

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(METRICS_SECONDS)
            series = self._series()
            await _in_thread(partial(self._send, series))

    def _send(self, series: Sequence[Series]) -> None:
        if self._metrics is not None:
            self._metrics.export(  # pyright: ignore[reportUnknownMemberType]
                exported(series, self._resource, self._since, time.time_ns())
            )


async def _in_thread(work: Callable[[], object]) -> None:
    """Waits for the work of a thread which does not hold up the end of the process, as those of an executor do."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        try:
            work()
        finally:
            # The loop may have ended before.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(over.set)

    threading.Thread(target=run, name="telemetry", daemon=True).start()
    await over.wait()
