"""Answers that are a no, and what is asked again for another answer."""

from __future__ import annotations

from typing import Any

from behaviour import DONE, HELLO, STOP, Behaviour, answer, bare, completion, counts, stream

REASONS = {
    "OpenAI": {"error": {"message": "NEEDLE", "type": "t", "code": None, "param": None}},
    "FastAPI": {"detail": "NEEDLE"},
    "a list of details": {"detail": [{"loc": ["body", "top_k"], "msg": "NEEDLE"}]},
    "Mistral": {"object": "error", "message": {"detail": [{"loc": ["body"], "msg": "NEEDLE"}]}},
    "Gemini": [{"error": {"code": 400, "message": "NEEDLE", "status": "INVALID_ARGUMENT"}}],
    "a text": {"error": "NEEDLE"},
    "an object in message": {"error": {"message": {"reason": "NEEDLE"}}},
    "Anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": "NEEDLE"}},
    "a bare message": {"message": "NEEDLE", "code": 400},
    "errors": {"errors": [{"message": "NEEDLE"}]},
    "an unknown shape": {"fault": {"faultstring": "NEEDLE"}},
    "plain text": b"NEEDLE\n",
    "Latin-1": '{"error":{"message":"NEEDLE \xe8"}}'.encode("latin-1"),
}


def refused(name: str, reply: Any, code: str, status: int, words: str = "", *, main: bool = False) -> Behaviour:
    # A model that has said no has read nothing; one that cannot be understood may have.
    usage = None if code == "upstream_malformed" else (0, 0)
    return Behaviour(name, reply, error=(code, status), words=words, usage=usage, main=main)


def without_options(request: dict[str, Any]) -> bytes:
    if "stream_options" in request:
        return answer(
            {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs"}]}, "422 Unprocessable Entity"
        )
    return bare(HELLO, STOP, DONE)


def without_streaming(request: dict[str, Any]) -> bytes:
    if request["stream"]:
        error = {"message": "must be verified to stream this model", "param": "stream", "code": "unsupported_value"}
        return answer({"error": error}, "400 Bad Request")
    return answer(completion({"role": "assistant", "content": "Hello"}, usage=counts()))


def without_either(request: dict[str, Any]) -> bytes:
    return without_options(request) if "stream_options" in request else without_streaming(request)


def refusing_options_in_a_200(request: dict[str, Any]) -> bytes:
    if "stream_options" in request:
        return answer({"error": {"message": "unknown field stream_options", "code": 400}})
    return bare(HELLO, STOP, DONE)


REFUSALS = [
    *[
        refused(
            f"words: {name}", answer(body, "400 Bad Request"), "upstream_refused", 400, "NEEDLE", main=name == "OpenAI"
        )
        for name, body in REASONS.items()
    ],
    *[
        refused(
            f"status {theirs}", answer({"error": {"message": "no"}}, f"{theirs} No"), "upstream_refused", ours, "no"
        )
        for theirs, ours in (
            (402, 402),
            (405, 400),
            (409, 409),
            (413, 413),
            (422, 422),
            (500, 502),
            (503, 503),
            (504, 504),
            (529, 503),
        )
    ],
    refused(
        "no quota",
        answer({"error": {"message": "no", "code": "insufficient_quota"}}, "429 No"),
        "insufficient_quota",
        429,
        main=True,
    ),
    refused(
        "an error in a 200 of JSON",
        answer({"error": {"message": "NEEDLE", "code": 429}}),
        "upstream_refused",
        429,
        "NEEDLE",
    ),
    refused(
        "an error in a 200 that is called a stream",
        answer({"error": {"message": "NEEDLE"}}, kind="text/event-stream"),
        "upstream_refused",
        502,
        "NEEDLE",
    ),
    refused(
        "an error as the first event",
        stream(b'data: {"error":{"message":"NEEDLE"}}\n\n'),
        "upstream_refused",
        502,
        "NEEDLE",
    ),
    refused(
        "a list of errors in a 200",
        answer([{"error": {"message": "NEEDLE", "code": 400}}]),
        "upstream_refused",
        400,
        "NEEDLE",
    ),
    refused("a page", answer(b"<html>", kind="text/html"), "upstream_malformed", 502),
    refused(
        "a redirect",
        answer(b"", "307 Temporary Redirect", "text/plain", "location: /x"),
        "upstream_malformed",
        502,
        main=True,
    ),
    refused("half of a whole answer", answer(b'{"choices": [', kind="application/json"), "upstream_malformed", 502),
    refused(
        "a wait until the year 99999",
        answer({}, "429 No", "application/json", "retry-after: Mon, 01 Jan 99999999999 00:00:00 GMT"),
        "upstream_refused",
        429,
    ),
    Behaviour("stream_options are refused", without_options, text="Hello", usage=None, pieces=2, asked=2, main=True),
    Behaviour("they are refused in a 200", refusing_options_in_a_200, text="Hello", usage=None, pieces=2, asked=2),
    Behaviour("streaming is refused", without_streaming, text="Hello", asked=2, main=True),
    Behaviour("both are refused", without_either, text="Hello", asked=3),
    refused(
        "a 500 that names streams",
        answer({"error": {"message": "the stream broke"}}, "500 No"),
        "upstream_refused",
        502,
        "stream",
    ),
    refused(
        "an event stream of an error",
        answer(b'data: {"error": {"message": "NEEDLE"}}\n\n', "400 No", "text/event-stream"),
        "upstream_refused",
        400,
        "NEEDLE",
    ),
    refused(
        "a key in a 200",
        answer({"error": {"message": "NEEDLE", "code": "invalid_api_key"}}),
        "invalid_api_key",
        401,
        "NEEDLE",
    ),
]
