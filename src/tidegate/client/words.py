"""What a server's answer, or its failure, says in words. Nothing here raises for what a stranger sends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tidegate.http_client.errors import (
    ConnectionClosed,
    ConnectionRefused,
    HttpError,
    MalformedHost,
    MalformedResponse,
    TimedOut,
    TlsFailed,
    UnknownHost,
    failure,
)

MAX_QUOTED = 100
"""Characters of an answer that nobody could read: they show what kind of thing it is."""


def parsed(body: bytes | str) -> Any:
    """JSON as strangers write it, or None where it is none.

    Bytes that are not UTF-8 become U+FFFD; NaN, infinities and lone surrogates, which msgspec refuses, pass.
    """
    text = body if isinstance(body, str) else body.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def as_table(value: object) -> Mapping[str, Any]:
    """The same where it is an object; an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[Any]:
    """The same where it is an array; an empty one for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else ()


def error_fields(body: bytes) -> dict[str, str]:
    """`type`, `code` and `message` of an error's body, as far as they are texts: OpenAI's shape, or what is near it."""
    found = as_table(parsed(body))
    error = next((found[name] for name in ("error", "detail") if found.get(name)), found)
    fields = as_table(error) or {"message": error}
    return {name: text for name in ("type", "code", "message") if (text := fields.get(name)) and isinstance(text, str)}


def error_message(body: bytes) -> str:
    """What an error's body says for itself; empty where it says nothing."""
    return error_fields(body).get("message", "")


def quoted(body: bytes) -> str:
    """The beginning of an answer, to show what came; its control characters are for `visible`."""
    text = body.decode("utf-8", "replace")
    return f"'{text[:MAX_QUOTED]}…'" if len(text) > MAX_QUOTED else f"'{text}'"


REASONS: dict[type[HttpError], str] = {
    ConnectionRefused: "the connection was refused; is the server running?",
    UnknownHost: "the host name is not known",
    MalformedHost: "the host name is not one",
    TimedOut: "no answer in time",
    ConnectionClosed: "the connection was closed",
    MalformedResponse: "what came is not HTTP, or broke off",
}
"""What the failures of `http.client` are to whoever sits before a terminal."""


def reason(error: Exception) -> str:
    """Why a connection failed, in words instead of an errno."""
    kind = type(failure(error))
    if kind is TlsFailed:
        found = getattr(error, "verify_message", "") or _system_words(error, "there is no TLS")
        return f"the TLS handshake failed: {found}"
    return REASONS.get(kind) or _system_words(error, type(error).__name__)


def _system_words(error: Exception, otherwise: str) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or otherwise
