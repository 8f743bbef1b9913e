"""What an upstream's refusal becomes."""

from __future__ import annotations

import msgspec
import pytest

from tidegate.providers.openai_errors import MAX_MESSAGE_CHARACTERS, refusal, refusal_in_stream, retry_after, status_for

ANSWERED = {400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 426, 429, 431, 500, 502, 503, 504}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *[(400, 400), (401, 401), (403, 403), (404, 404), (429, 429), (402, 400), (422, 400), (500, 502), (503, 503)],
        *[(504, 504), (520, 502), (529, 503), (600, 502), (420, 503)],
    ],
)
def test_statuses_are_kept_or_stood_in_for(theirs: int, ours: int) -> None:
    """A client sees the upstream's status where tidegate has it, else the nearest."""
    assert status_for(theirs) == ours


def test_every_status_is_one_that_is_documented() -> None:
    """No upstream makes tidegate answer a status outside its list."""
    assert {status_for(status) for status in range(400, 1000)} <= ANSWERED


def test_the_upstreams_own_words_are_kept() -> None:
    """OpenAI's error object passes through, so that SDKs show what they would have shown."""
    body = {"error": {"message": "Too long.", "type": "invalid_request_error", "code": "context_length", "param": "m"}}
    error = refusal(400, msgspec.json.encode(body), {}, ())
    assert (error.message, error.type, error.code, error.param) == (
        "Too long.",
        "invalid_request_error",
        "context_length",
        "m",
    )
    assert (error.status, error.retryable) == (400, False)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"message": "no such model", "code": 404}', "no such model"),
        (b'{"error": "busy"}', "busy"),
        (b'{"error": {"message": {"a": 1}, "code": 7, "type": null}}', "The upstream answered 404."),
        (b'{"detail": [{"loc": ["body"]}]}', "The upstream answered 404."),
        (b"<html>nginx</html>", "The upstream answered 404."),
        (b"[1]", "The upstream answered 404."),
        (b"\xff" * 9, "The upstream answered 404."),
        (b"", "The upstream answered 404."),
        (b"[" * 60_000, "The upstream answered 404."),
    ],
)
def test_other_shapes_are_read_as_far_as_they_go(body: bytes, message: str) -> None:
    """Whatever the body, there is a message, a type and a code."""
    error = refusal(404, body, {}, ())
    assert (error.message, error.type, error.code, error.status) == (
        message,
        "not_found_error",
        "upstream_refused",
        404,
    )


def test_messages_are_limited() -> None:
    """A huge message does not end up in logs and answers."""
    error = refusal(500, msgspec.json.encode({"error": {"message": "x" * 60_000, "code": "y" * 60_000}}), {}, ())
    assert len(error.message) == MAX_MESSAGE_CHARACTERS
    assert len(error.code) < 200


@pytest.mark.parametrize(
    "message",
    ["Incorrect API key: topsecretkey", "Incorrect API key provided: sk-proj-1234********89AB.", "abcd****wxyz is bad"],
)
def test_keys_are_cut_out(message: str) -> None:
    """An upstream that shows its key, whole or half masked, shows it to nobody."""
    body = msgspec.json.encode({"error": {"message": message, "code": message, "type": message}})
    for error in (refusal(401, body, {}, ["topsecretkey"]), refusal_in_stream(body.decode(), ["topsecretkey"])):
        shown = f"{error.message} {error.code} {error.type}"
        assert "[redacted]" in shown
        assert not any(part in shown for part in ("topsecretkey", "1234", "89AB", "abcd", "wxyz"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "3", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 10.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 08:49:47 GMT"}, 0.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT", "date": "Sun, 06 Nov 1994 08:49:47 -0000"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_is_taken_over(headers: dict[str, str], seconds: float | None) -> None:
    """A client waits as long as the upstream wants, whichever of the header's forms it uses."""
    assert retry_after(headers) == seconds
    assert refusal(429, b"", headers, ()).retry_after == seconds
