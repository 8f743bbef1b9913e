from __future__ import annotations

import msgspec
import pytest

from tidegate.core.error_response import error_response
from tidegate.errors import (
    GenerationCancelled,
    InvalidValue,
    MethodNotAllowed,
    QueueFull,
    TidegateError,
    TooLong,
    Unauthenticated,
    UpstreamRefused,
)


def headers_of(error: TidegateError) -> dict[bytes, bytes]:
    return dict(error_response(error, None).headers)


def test_shape() -> None:
    """Errors have OpenAI's shape, with the request id and the offending parameter."""
    status, headers, body = error_response(InvalidValue("too hot", param="temperature"), "req_1")
    assert status == 400
    assert msgspec.json.decode(body) == {
        "error": {
            "type": "invalid_request_error",
            "code": "invalid_value",
            "message": "too hot",
            "param": "temperature",
            "request_id": "req_1",
        }
    }
    assert dict(headers) == {
        b"content-type": b"application/json",
        b"content-length": b"%d" % len(body),
        b"cache-control": b"no-store",
        b"x-should-retry": b"false",
    }


def test_what_it_is_no_use_to_repeat_says_so() -> None:
    """OpenAI's SDKs repeat a 409 or a 500 on their own: a cancelled or too long answer must not be paid for again."""
    for error in (GenerationCancelled("stopped"), TooLong("too long")):
        assert (b"x-should-retry", b"false") in error_response(error, None).headers
    assert b"x-should-retry" not in dict(error_response(QueueFull("full"), None).headers)


@pytest.mark.parametrize(("after", "sent"), [(None, b"1"), (1e308, b"86400"), (-3.0, b"0")])
def test_429_always_says_when(after: float | None, sent: bytes) -> None:
    """An upstream that says nothing, or nonsense, is no reason to say nothing, or nonsense."""
    error = UpstreamRefused("slow down", type="rate_limit_error", status=429, retry_after=after)
    assert dict(error_response(error, None).headers)[b"retry-after"] == sent


@pytest.mark.parametrize(
    ("after", "seconds", "millis"), [(1.0, b"1", b"1000"), (0.25, b"1", b"250"), (2.1, b"3", b"2100")]
)
def test_retry_after(after: float, seconds: bytes, millis: bytes) -> None:
    """Who is to come back later is told when: never too early in whole seconds, exactly in milliseconds."""
    error = QueueFull("full")
    error.retry_after = after
    headers = headers_of(error)
    assert (headers[b"retry-after"], headers[b"retry-after-ms"]) == (seconds, millis)


def test_allow() -> None:
    """A method that is not allowed is answered with those that are."""
    assert headers_of(MethodNotAllowed("no", allow="GET, HEAD"))[b"allow"] == b"GET, HEAD"


def test_challenge() -> None:
    """Missing or wrong credentials are answered with the scheme to use (RFC 9110, 11.6.1)."""
    assert headers_of(Unauthenticated("no"))[b"www-authenticate"] == b"Bearer"
