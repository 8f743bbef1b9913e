from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tidegate.core.connection import ClientDisconnected, ResponseAborted
from tidegate.errors import (
    InternalError,
    InvalidRequest,
    InvalidValue,
    MethodNotAllowed,
    NotFound,
    StoreUnavailable,
    StreamNotFound,
    Unauthenticated,
    Unavailable,
)
from tidegate.gate.failures import FailureMiddleware
from tidegate.gate.request_id import RequestIdMiddleware
from tidegate.gate.response_headers import ResponseHeadersMiddleware
from tidegate.gate.route_policy import ROUTE
from tidegate.observe.base import Failure

pytestmark = pytest.mark.anyio

START = {"type": "http.response.start", "status": 200, "headers": []}


def raising(exc: BaseException, *, after_start: bool = False) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["tidegate.stream_id"] = "gen_1"
        if after_start:
            await send(START)
        raise exc

    return app


async def test_typed_error(exchange: Any, recorder: Any) -> None:
    """A typed error is answered as it is, under the request's id, and is nobody's failure."""
    failing = FailureMiddleware(raising(InvalidValue("no", param="n")), observer=recorder)
    app = ResponseHeadersMiddleware(RequestIdMiddleware(failing))
    answer = await exchange(app, [(b"x-request-id", b"mine")])
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "invalid_value", "n")
    assert answer.error["request_id"] == "mine"
    assert recorder.seen == []


@pytest.mark.parametrize(("events", "status"), [(True, 200), (False, 503)])
async def test_a_reader_comes_back_when_the_store_is_there_again(
    exchange: Any, recorder: Any, events: bool, status: int
) -> None:
    """`EventSource` would give up for good on an error; whoever asks for anything else is told of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope[ROUTE] = SimpleNamespace(events=events)
        raise StoreUnavailable("it is away")

    answer = await exchange(FailureMiddleware(app, observer=recorder))
    assert answer.status == status
    if events:
        assert b"event: reconnect" in answer.body
    else:
        assert answer.error["code"] == "store_unavailable"


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (Unavailable("later"), b"retry-after-ms", b"1000"),
        (MethodNotAllowed("no", allow="GET"), b"allow", b"GET"),
        (Unauthenticated("who?"), b"www-authenticate", b"Bearer"),
    ],
)
async def test_headers(exchange: Any, recorder: Any, error: Exception, header: bytes, value: bytes) -> None:
    """Errors bring the headers that their status calls for."""
    answer = await exchange(FailureMiddleware(raising(error), observer=recorder))
    assert answer.headers[header] == value


async def test_a_share_token_for_a_stream(exchange: Any, recorder: Any) -> None:
    """Neither an answer nor the log repeats a share token that was taken for something else."""
    share = "share_" + "0123456789abcdef" * 4

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["tidegate.stream_id"] = share
        raise StreamNotFound(f"there is no stream {share[:64]!r}") if scope["path"] == "/" else KeyError

    failing = FailureMiddleware(app, observer=recorder)
    assert (await exchange(failing)).error["message"] == "there is no stream 'share_***'"
    await exchange(failing, path="/bug")
    assert [failure.stream for failure in recorder.seen] == ["share_***"]


async def test_bug(exchange: Any, recorder: Any) -> None:
    """Of a bug the client learns nothing but the request id; the observer gets all, with the stream's id."""
    bug = KeyError("secret")
    app = ResponseHeadersMiddleware(RequestIdMiddleware(FailureMiddleware(raising(bug), observer=recorder)))
    answer = await exchange(app, [(b"x-request-id", b"mine")])
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert recorder.seen == [Failure("http", bug, request_id="mine", stream="gen_1")]


async def test_typed_500_is_observed(exchange: Any, recorder: Any) -> None:
    """Every 500 is observed, whoever made it."""
    await exchange(FailureMiddleware(raising(InternalError("oh")), observer=recorder))
    assert len(recorder.seen) == 1


@pytest.mark.parametrize("exc", [KeyError("a"), InvalidValue("b")])
async def test_answer_has_begun(exchange: Any, recorder: Any, exc: Exception) -> None:
    """An answer that has begun is broken off, not ended: what went wrong is observed once and raised no further."""
    with pytest.raises(ResponseAborted) as aborted:
        await exchange(FailureMiddleware(raising(exc, after_start=True), observer=recorder))
    assert exchange.messages == [START]
    assert [failure.exception for failure in recorder.seen] == [exc]
    assert aborted.value.__suppress_context__


async def test_aborted_already(exchange: Any, recorder: Any) -> None:
    """An answer that was broken off further in has been observed there."""
    with pytest.raises(ResponseAborted):
        await exchange(FailureMiddleware(raising(ResponseAborted(), after_start=True), observer=recorder))
    assert recorder.seen == []


async def test_client_left(exchange: Any, recorder: Any) -> None:
    """A client that left is not an error, and nobody is answered."""
    await exchange(FailureMiddleware(raising(ClientDisconnected()), observer=recorder))
    assert (exchange.messages, recorder.seen) == ([], [])


async def test_cancelled(exchange: Any, recorder: Any) -> None:
    """A cancelled request stays cancelled."""
    with pytest.raises(asyncio.CancelledError):
        await exchange(FailureMiddleware(raising(asyncio.CancelledError()), observer=recorder))
    assert recorder.seen == []


async def test_head(exchange: Any, recorder: Any) -> None:
    """An error answers HEAD with the length of its body, and without it."""
    answer = await exchange(FailureMiddleware(raising(InvalidValue("no")), observer=recorder), method="HEAD")
    assert answer.body == b""
    assert int(answer.headers[b"content-length"]) > 0


async def test_what_looks_like_a_credential_is_masked(exchange: Any, recorder: Any) -> None:
    """Whoever raised the error that has it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise InvalidRequest("no such key sk-1234567890abcdefghijklmnop")

    answer = await exchange(FailureMiddleware(app, observer=recorder))
    assert "no such key" in answer.error["message"]
    assert "1234567890" not in answer.error["message"]


async def test_an_error_that_somebody_else_deals_with_keeps_its_traceback(exchange: Any, recorder: Any) -> None:
    """An application that falls back to this one can log its own afterwards."""

    async def missing(scope: Any, receive: Any, send: Any) -> None:
        raise NotFound("there is nothing here")

    found: list[bool] = []

    async def around(scope: Any, receive: Any, send: Any) -> None:
        try:
            raise LookupError
        except LookupError as error:
            await FailureMiddleware(missing, observer=recorder)(scope, receive, send)
            found.append(error.__traceback__ is not None)

    assert (await exchange(around)).status == 404
    assert found == [True]
