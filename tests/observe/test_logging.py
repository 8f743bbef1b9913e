from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tidegate.core.request_id import current_request_id
from tidegate.core.trace_context import TraceContext, current_trace
from tidegate.observe.base import (
    Failure,
    GenerationEnded,
    GenerationStarted,
    LimitReached,
    Occurrence,
    ReaderAttached,
    ReaderLeft,
    RequestDone,
)
from tidegate.observe.logging import LogFormat, LoggingObserver, configure

DONE = RequestDone("req_1", "GET", "/v1/models", 200, 0.0123456789, "key:ci", "10.0.0.7", "gen_1")
BROKEN = RequestDone("req_1", "GET", "/v1/models", 500, 0.01)
LEFT_EARLY = RequestDone("req_1", "GET", "/v1/models", None, 0.01)
PROBE = RequestDone("req_1", "GET", "/healthz", 200, 0.01, quiet=True)
NOT_READY = RequestDone("req_1", "GET", "/readyz", 503, 0.01, quiet=True)
NO_PAGE = RequestDone("req_1", "GET", "/s/***", 404, 0.01, quiet=True)
STARTED = GenerationStarted("gen_1", "m", "anonymous", 0.5)
ENDED = GenerationEnded("gen_1", "m", "anonymous", "completed", None, 2.0, 0.25, 3, 4)
FAILED = GenerationEnded("gen_1", "m", "anonymous", "failed", "upstream_timeout", 2.0, None, 3, 0)
ATTACHED = ReaderAttached("gen_1", "rd_1", "sse", "anonymous")
LEFT = ReaderLeft("gen_1", "rd_1", "sse", 7, 2.0, "disconnected")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("tidegate")
    handlers, levels = root.handlers[:], (root.level, own.level)
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def lines(*occurrences: Occurrence, level: str = "debug") -> list[dict[str, Any]]:
    stream = io.StringIO()
    configure(level, "json", stream=stream)
    observer = LoggingObserver()
    for occurrence in occurrences:
        observer.observe(occurrence)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_line() -> None:
    """An occurrence is one JSON line with everything it says, and nothing that it leaves open."""
    (line,) = lines(ENDED)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "tidegate",
        "message": "generation ended",
        "stream": "gen_1",
        "model": "m",
        "principal": "anonymous",
        "status": "completed",
        "duration_s": 2.0,
        "first_token_s": 0.25,
        "prompt_tokens": 3,
        "completion_tokens": 4,
    }


@pytest.mark.parametrize(
    ("occurrence", "level", "message"),
    [
        (DONE, "info", "request done"),
        (BROKEN, "warning", "request done"),
        (LEFT_EARLY, "info", "request done"),
        (PROBE, "debug", "request done"),
        (NOT_READY, "warning", "request done"),
        (NO_PAGE, "info", "request done"),
        (STARTED, "debug", "generation started"),
        (ENDED, "info", "generation ended"),
        (FAILED, "warning", "generation ended"),
        (ATTACHED, "debug", "reader attached"),
        (LEFT, "info", "reader left"),
        (LimitReached("connections", "address:192.0.2.7", "192.0.2.7", 3), "warning", "limit reached"),
        (Failure("provider", KeyError("a")), "error", "failure in provider"),
    ],
)
def test_levels(occurrence: Occurrence, level: str, message: str) -> None:
    """What breaks is loud; what has only begun is not, nor is a probe; what is over can be read in every log."""
    (line,) = lines(occurrence)
    assert (line["level"], line["message"]) == (level, message)


def test_level() -> None:
    """Only what is as loud as the level asks is written."""
    assert [line["message"] for line in lines(STARTED, DONE, FAILED, level="warning")] == ["generation ended"]
    once = ["request done", "generation ended", "reader left"]
    assert [line["message"] for line in lines(STARTED, ATTACHED, PROBE, DONE, ENDED, LEFT, level="info")] == once


def test_failure() -> None:
    """A failure brings its traceback, its request and its stream."""
    try:
        raise KeyError("lost \ud800")
    except KeyError as exc:
        (line,) = lines(Failure("http", exc, request_id="req_1", stream="gen_1"))
    assert (line["request_id"], line["stream"]) == ("req_1", "gen_1")
    assert "test_failure" in line["exception"]
    assert "KeyError" in line["exception"]


def test_request_id_everywhere() -> None:
    """Every line written while a request is served carries its id, whoever writes it."""
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    token = current_request_id.set("req_2")
    logging.getLogger("tidegate.store").info("%s events", 3)
    logging.getLogger("another.library").warning("hm")
    LoggingObserver().observe(DONE)
    current_request_id.reset(token)
    logging.getLogger("tidegate.store").info("later")
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["message"], line.get("request_id")) for line in written] == [
        ("3 events", "req_2"),
        ("hm", "req_2"),
        ("request done", "req_1"),
        ("later", None),
    ]


@pytest.mark.parametrize(("log_format", "said"), [("json", '"worker": 0'), ("text", " worker=0")])
def test_lines_of_a_worker(log_format: LogFormat, said: str) -> None:
    """Every line of one of several processes says which it is, whichever part of the program has written it."""
    stream = io.StringIO()
    configure("info", log_format, stream=stream, worker=0)
    LoggingObserver().observe(DONE)
    logging.getLogger("tidegate.stores").warning("it is away")
    logging.getLogger("another").warning("odd")
    assert [said in line for line in stream.getvalue().splitlines()] == [True] * 3


def test_trace_everywhere() -> None:
    """Every line written while a request is served carries its trace, and is found from any other service's log."""
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    token = current_trace.set(TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1, "a=secret"))
    logging.getLogger("tidegate.store").info("hm")
    LoggingObserver().observe(ENDED)
    current_trace.reset(token)
    LoggingObserver().observe(ENDED)
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("trace_id") for line in written] == [*["4bf92f3577b34da6a3ce929d0e0e4736"] * 2, None]
    assert "secret" not in stream.getvalue()


@pytest.mark.parametrize(
    ("log_format", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("text", io.StringIO(), False),
        ("json", Terminal(), True),
    ],
)
def test_formats(log_format: LogFormat, stream: io.StringIO, is_json: bool) -> None:
    """Text on a terminal, JSON lines elsewhere, unless one of them is asked for."""
    configure("info", log_format, stream=stream)
    LoggingObserver().observe(DONE)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("{") is is_json


def text(occurrence: Occurrence) -> str:
    stream = io.StringIO()
    configure("debug", "text", stream=stream)
    LoggingObserver().observe(occurrence)
    return stream.getvalue()


def test_text_line() -> None:
    """A line of text says the same, for eyes: what happened first, whose it was last."""
    assert text(DONE)[8:] == (
        " info request done method=GET path=/v1/models status=200 duration_s=0.012"
        " principal=key:ci address=10.0.0.7 stream=gen_1 request_id=req_1\n"
    )


def test_text_lines_of_a_stream() -> None:
    """The lines of a stream name it, its reader and its model, and say how long, how much and how it ended."""
    assert text(FAILED)[8:] == (
        " warning generation ended stream=gen_1 model=m principal=anonymous status=failed code=upstream_timeout"
        " duration_s=2.000 prompt_tokens=3 completion_tokens=0\n"
    )
    assert text(ENDED)[8:].endswith(
        " status=completed duration_s=2.000 first_token_s=0.250 prompt_tokens=3 completion_tokens=4\n"
    )
    assert text(LEFT)[8:] == (
        " info reader left stream=gen_1 reader=rd_1 transport=sse events=7 duration_s=2.000 reason=disconnected\n"
    )


def test_text_failure() -> None:
    """In text the traceback stands below its line, indented."""
    first, *below = text(Failure("http", KeyError("a"))).splitlines()
    assert first.endswith("error failure in http")
    assert below == ["  KeyError: 'a'"]


@pytest.mark.parametrize("path", ["/a\nfake line", "/\x1b[31m", "/a status=200"])
def test_no_forged_lines(path: str) -> None:
    """A path cannot write lines of its own, colour the terminal, or pose as another field."""
    line = text(RequestDone(None, "GET", path, 404, 0.0))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert f"path={path!r}" in line


def test_no_forged_lines_by_exceptions_and_messages() -> None:
    """What an exception or a library says may have lines, but none that looks like ours, and no colours."""
    said = "a\n12:00:00 info fake \x1b[31m\r\u202e\ud800"
    stream = io.StringIO()
    configure("debug", "text", stream=stream)
    LoggingObserver().observe(Failure("http", ValueError(said)))
    logging.getLogger("another.library").warning(said)
    written = stream.getvalue()
    assert [line[:2].isspace() for line in written.splitlines()] == [False, True, True, False, True]
    assert written.count(r"  12:00:00 info fake \x1b[31m\r\u202e\ud800") == 2
    assert written.replace("\n", "").isprintable()


def test_long_values_are_cut() -> None:
    """A path of any length leaves a line that can be read."""
    (line,) = lines(RequestDone(None, "GET", "/" + "a" * 60_000, 404, 0.0))
    assert len(line["path"]) == 201


def test_configured_again() -> None:
    """Configuring again replaces what was, rather than writing everything twice."""
    lines(DONE)
    assert len(lines(DONE)) == 1


def test_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stream it is stderr; stdout belongs to the command line."""
    configure("info", "auto")
    LoggingObserver().observe(DONE)
    out, err = capsys.readouterr()
    assert (out, "request done" in err) == ("", True)
