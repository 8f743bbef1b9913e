"""Hands log records on, with the fields of their lines and the request and trace that they belong to."""

from __future__ import annotations

import logging

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from tidegate.core.masking import masked
from tidegate.core.trace_context import current_trace
from tidegate.observe.logging import fields_of
from tidegate.observe.otel.context import context_of

LOGGERS = ("tidegate", "asyncio", "uvicorn")
"""The loggers whose records go out. An application around this one sends its own."""

SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}

_TRACEBACKS = logging.Formatter()


class OtlpHandler(logging.Handler):
    """Emits each record to `logger`, which must not block."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._logger.emit(_record(record))
        except Exception:
            self.handleError(record)


def _sendable(text: str) -> str:
    """The text without lone surrogates, one of which would make a whole batch unfit for the protocol."""
    return text.encode("utf-8", "replace").decode()


def _record(record: logging.LogRecord) -> LogRecord:
    fields = fields_of(record)
    fields.pop("trace_id", None)
    attributes = {
        name: value if isinstance(value, int | float) else _sendable(str(value)) for name, value in fields.items()
    }
    attributes["logger"] = record.name
    if record.exc_info:
        attributes["exception"] = _sendable(masked(_TRACEBACKS.formatException(record.exc_info)))
    trace = current_trace.get()
    moment = int(record.created * 1e9)
    return LogRecord(
        timestamp=moment,
        observed_timestamp=moment,
        context=None if trace is None else set_span_in_context(NonRecordingSpan(context_of(trace))),
        severity_text=record.levelname.lower(),
        severity_number=SEVERITIES.get(record.levelno, SeverityNumber.UNSPECIFIED),
        body=_sendable(record.getMessage()),
        attributes=attributes,
    )
