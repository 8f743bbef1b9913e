"""What an upstream's refusal becomes."""

from __future__ import annotations

import msgspec
import pytest

from tidegate.http_client.endpoint import Endpoint
from tidegate.providers.openai import errors as openai_errors
from tidegate.providers.openai.errors import MAX_MESSAGE_CHARACTERS, refusal, refusal_in_body, retry_after, status_for
from tidegate.providers.openai.provider import secrets

ANSWERED = {400, 401, 402, 403, 404, 409, 413, 422, 429, 502, 503, 504}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *[(400, 400), (401, 401), (402, 402), (403, 403), (404, 404), (409, 409), (413, 413), (422, 422), (429, 429)],
        *[(405, 400), (410, 400), (418, 400), (420, 400), (431, 400), (408, 504), (504, 504), (524, 504)],
        *[(500, 502), (501, 502), (520, 502), (600, 502), (503, 503), (529, 503)],
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
        (
            b'{"error": {"message": {"a": 1}, "code": 7}}',
            'The upstream answered 404: {"error":{"message":{"a":1},"code":7}}',
        ),
        (b'{"detail": [{"loc": ["body"]}]}', 'The upstream answered 404: {"detail":[{"loc":["body"]}]}'),
        (b'{"detail": [{"loc": ["body", "top_k"], "msg": "too big"}, {"msg": "no"}]}', "body.top_k: too big; no"),
        (b'{"message": {"detail": [{"loc": ["body", "top_k"], "msg": "no"}]}}', "body.top_k: no"),
        (b'[{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}]', "bad"),
        (b'{"errors": [{"message": "a"}, {"message": "b"}]}', "a; b"),
        (b'{"error": {"message": "Provider error", "metadata": {"raw": "too hot"}}}', "Provider error; too hot"),
        ('{"error": "mod\xe8le"}'.encode("latin-1"), "mod\xe8le"),
        (b'{"error": "half \\ud83d"}', "half \ufffd"),
        (b"no healthy upstream\n", "no healthy upstream"),
        (b"<html>nginx</html>", "The upstream answered 404."),
        (b"[1]", "The upstream answered 404: [1]"),
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


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"error": {"message": null}}', b'{"error": {"message": "x"}}', b"[[[[[]]]]]"]
)
def test_a_refusal_costs_next_to_nothing(body: bytes) -> None:
    """The words are looked for where there are any: an upstream that refuses everybody does not hold up the others."""
    looked = 0
    known = openai_errors.words_of

    def counting(said: object, depth: int = 0) -> list[str]:
        nonlocal looked
        looked += 1
        return known(said, depth)

    openai_errors.words_of = counting
    try:
        refusal(503, body, {}, ())
    finally:
        openai_errors.words_of = known
    assert looked < 10


def test_placeholders_are_no_secrets() -> None:
    """Words that a local server's errors are full of, and versions in a URL, are not cut out; keys in a URL are."""
    endpoint = Endpoint.parse("http://a/v1?api-version=2024-10-21&api-key=k3y-for-azure")
    assert secrets("ollama", endpoint) == ("k3y-for-azure",)


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
    for error in (
        refusal(401, body, {}, ["topsecretkey"]),
        refusal_in_body(msgspec.json.decode(body), ["topsecretkey"]),
    ):
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
        ({"retry-after": "Thu, 01 Jan 1970 00:16:50 GMT"}, 10.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT", "date": "Sun, 06 Nov 1994 08:49:37 -0000"}, 10.0),
        ({"retry-after": "Mon, 01 Jan 99999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Mon, 99 Foo 2026 99:99:99 GMT"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_is_taken_over(headers: dict[str, str], seconds: float | None) -> None:
    """A client waits as long as the upstream wants, whichever of the header's forms it uses."""
    assert retry_after(headers, 1000.0) == seconds
    assert refusal(429, b"", headers, (), now=1000.0).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "code", "headers", "retryable"),
    [
        (429, None, {}, True),
        (429, "insufficient_quota", {}, False),
        (429, None, {"x-should-retry": "false"}, False),
        (400, None, {"x-should-retry": "true"}, True),
        (500, None, {"x-should-retry": " False "}, False),
        (500, None, {"x-should-retry": "maybe"}, True),
    ],
)
def test_whether_to_ask_again_is_the_upstreams_to_say(
    status: int, code: str | None, headers: dict[str, str], retryable: bool
) -> None:
    """Its own word counts; without one, no waiting heals an empty account."""
    body = msgspec.json.encode({"error": {"message": "no", "code": code}})
    assert refusal(status, body, headers, ()).retryable is retryable


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429}, 429),
        ({"code": "422"}, 422),
        ({"status": 503}, 503),
        ({"code": "insufficient_quota"}, 429),
        ({"type": "overloaded_error"}, 503),
        ({"status": "RESOURCE_EXHAUSTED"}, 429),
        ({"code": "context_length_exceeded", "type": "invalid_request_error"}, 400),
        ({"code": 7}, 502),
        ({}, 502),
    ],
)
def test_an_error_in_a_200_body_has_the_status_that_it_names(error: dict[str, object], status: int) -> None:
    """A number, a number as text, or a word that servers use for one."""
    assert refusal_in_body({"error": {"message": "no", **error}}, ()).status == status
