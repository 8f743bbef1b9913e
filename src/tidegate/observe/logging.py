"""Logs one line per occurrence, through the standard library's logging."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

from tidegate.core.masking import masked
from tidegate.core.request_id import current_request_id
from tidegate.core.trace_context import current_trace
from tidegate.core.visible import visible
from tidegate.errors import StoreUnavailable
from tidegate.observe.base import (
    CallRefused,
    Failure,
    GenerationEnded,
    GenerationStarted,
    LimitReached,
    Observer,
    Occurrence,
    ReaderAttached,
    ReaderLeft,
    RequestDone,
    UpstreamAttempt,
)
from tidegate.observe.quiet import OnceInAWhile

LogFormat = Literal["auto", "text", "json"]

# Paths and names come from clients, and could make a line unreadably long.
_MAX_TEXT = 200


class Process:
    """What all lines of this process have: the number of the worker, where it is one of several processes."""

    worker: int | None = None


_UNLOGGED: dict[type[Occurrence], set[str]] = {
    RequestDone: {"quiet", "route", "head_s", "streamed", "span"},
    GenerationEnded: {"provider", "queued_s", "finish_reason", "span"},
}
"""What is only for measuring, or said in another line."""

_NAMES = {
    GenerationStarted: "generation started",
    GenerationEnded: "generation ended",
    ReaderAttached: "reader attached",
    ReaderLeft: "reader left",
    RequestDone: "request done",
    LimitReached: "limit reached",
}


class LoggingObserver(Observer):
    """Writes to the logger `tidegate`: occurrences that end something as info, those that begin something as debug.

    A request with a 5xx status is a warning, and so is a failed generation; failures are errors, with their traceback.
    Attempts at upstreams are not logged here: providers log failed ones with more detail. Nor are refused calls of a
    WebSocket: their client has the error, and may make a hundred a second.
    """

    def __init__(self) -> None:
        self._log = logging.getLogger("tidegate")

    def observe(self, occurrence: Occurrence) -> None:
        if isinstance(occurrence, UpstreamAttempt | CallRefused):
            return
        level = level_of(occurrence)
        if not self._log.isEnabledFor(level):
            return
        if isinstance(occurrence, Failure):
            fields = {"request_id": occurrence.request_id, "stream": occurrence.stream}
            message, exception = f"failure in {occurrence.where}", occurrence.exception
            if isinstance(exception, StoreUnavailable):
                # Every live stream has the same, at the same moment.
                message, exception = f"{message}: {exception.message}", None
        else:
            facts, unlogged = msgspec.structs.asdict(occurrence), _UNLOGGED.get(type(occurrence), set())
            fields = {name: value for name, value in facts.items() if name not in unlogged}
            if fields.get("stream"):
                # Clients choose the names of topics.
                fields["stream"] = masked(fields["stream"])
            message, exception = _NAMES[type(occurrence)], None
        self._log.log(level, message, exc_info=exception, extra={"fields": fields})


def level_of(occurrence: Occurrence) -> int:
    """The logging level of an occurrence."""
    match occurrence:
        case Failure():
            return logging.ERROR
        case GenerationEnded(status="failed") | LimitReached():
            return logging.WARNING
        case RequestDone(status=int(status)) if status >= 500:
            return logging.WARNING
        case RequestDone(status=int(status), quiet=True) if status < 400:
            return logging.DEBUG
        case GenerationStarted() | ReaderAttached():
            return logging.DEBUG
        case _:
            return logging.INFO


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message", …fields, "exception"}`; fields that are None are left out."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # Not msgspec: an exception's text may hold lone surrogates, which it refuses.
        # JSON in ASCII escapes all control characters but DEL: the line cannot control a terminal.
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")


class TextFormatter(logging.Formatter):
    """`12:00:00 info request done method=GET path=/ status=200 duration_s=0.153`.

    Further lines of the message, and the traceback, follow indented. So no text in a message, a field or an exception
    can pose as a line of its own, or control the terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = "".join(f" {name}={_text(value)}" for name, value in fields_of(record).items())
        message, *below = record.getMessage().split("\n")
        if record.exc_info:
            below += self.formatException(record.exc_info).split("\n")
        line = f"{moment} {record.levelname.lower()} {visible(message)}{fields}"
        return "\n  ".join([line, *map(visible, below)])


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a line besides its message, last of all the worker, the request and its trace.

    The request and the trace are of the request being served, unless the record has its own request id.
    """
    fields: dict[str, Any] = {
        name: _trimmed(value) for name, value in getattr(record, "fields", {}).items() if value is not None
    }
    if Process.worker is not None:
        fields["worker"] = Process.worker
    request_id = fields.pop("request_id", None) or current_request_id.get()
    if request_id is not None:
        fields["request_id"] = request_id
    trace = current_trace.get()
    if trace is not None:
        fields["trace_id"] = trace.trace_id
    return fields


def configure(level: str, log_format: LogFormat, *, stream: TextIO | None = None, worker: int | None = None) -> None:
    """Sends all logging to `stream` (stderr): from `level` on for tidegate, warnings of everything else.

    The lines of one of several processes have its number as the field `worker`. `auto` is text on a terminal and JSON
    lines elsewhere. For the process that tidegate owns: an application that embeds it configures logging itself. May be
    called again.
    """
    target = sys.stderr if stream is None else stream
    text = log_format == "text" or (log_format == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    handler.addFilter(OnceInAWhile())
    Process.worker = worker
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("tidegate").setLevel(level.upper())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trimmed(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        return value[:_MAX_TEXT] + "…"
    return value


def _text(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if text.isprintable() and " " not in text else repr(text)
