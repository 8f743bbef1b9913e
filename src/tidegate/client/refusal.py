"""Makes an error of what a server answered in place of what was asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tidegate.client.head import Head
from tidegate.client.words import as_table, error_fields, quoted
from tidegate.core.recall import recall
from tidegate.core.url import shown_url
from tidegate.errors import GenerationCancelled, RateLimited, TidegateError, UpstreamMalformed

NO_KEY = "the server asks for a key: put it into TIDEGATE_API_KEY (401)"


def refusal(head: Head, body: bytes, *, has_key: bool = True) -> TidegateError:
    """The error for an answer: of the class that the server raised where its code tells, else one for the status.

    `has_key`: whether a key was sent.
    """
    if head.is_success:
        return UpstreamMalformed(_unlike(head, body))
    said = error_fields(body)
    code = said.get("code", "")
    kind = _by_code().get(code) or _by_status().get(head.status, TidegateError)
    error = _made(kind, _message(head, said.get("message", ""), has_key=has_key), head)
    error.status = head.status
    error.code = code or kind.code
    error.type = said.get("type", kind.type)
    error.param = said.get("param")
    error.retryable = head.may_pass
    error.retry_after = head.retry_after or None
    error.request_id = said.get("request_id") or head.fields.get("x-request-id")
    return error


def unlike_completed(end: str, data: Any) -> TidegateError:
    """The error for the end of a stream that was not completed: `cancelled`, or `failed` with the error it tells."""
    said = as_table(data)
    if end == "cancelled":
        by, reason = said.get("by"), said.get("reason")
        told = f"cancelled by the {by}" if by else "the stream was cancelled"
        return GenerationCancelled(told + (f": {reason}" if reason else ""))
    error = as_table(said.get("error"))
    return recall(str(error.get("type")), str(error.get("code")), str(error.get("message")))


def _unlike(head: Head, body: bytes) -> str:
    if head.is_event_stream:
        return "the event stream is compressed although nobody asked for it, by a proxy perhaps"
    return f"the server answered with something else than was asked for: {quoted(body)}"


def _message(head: Head, said: str, *, has_key: bool) -> str:
    if head.status == 401 and not has_key:
        return NO_KEY
    location = head.fields.get("location")
    if 300 <= head.status < 400 and location:
        # It is not followed, since the key would go to a server that nobody chose.
        said = f"the server redirects to {shown_url(location)}: give that place as its URL"
    return f"{said} ({head.status})" if said else f"the server answered {head.status}"


def _made(kind: type[TidegateError], message: str, head: Head) -> TidegateError:
    if issubclass(kind, RateLimited):
        return kind(message, retry_after=head.retry_after)
    while kind.__init__ is not TidegateError.__init__:
        # It wants to know what an answer does not say.
        kind = kind.__mro__[1]
    return kind(message)


def _by_code() -> dict[str, type[TidegateError]]:
    """The class of each code."""
    return {kind.code: kind for kind in reversed([*_below(TidegateError)])}


def _below(kind: type[TidegateError]) -> Iterator[type[TidegateError]]:
    for narrower in kind.__subclasses__():
        yield narrower
        yield from _below(narrower)


def _by_status() -> dict[int, type[TidegateError]]:
    """The broadest class of each status, the one that was written first."""
    return {kind.status: kind for kind in reversed(TidegateError.__subclasses__())}
