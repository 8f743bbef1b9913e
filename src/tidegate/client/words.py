"""Turns a server's answer, or a failed connection, into words. Nothing here raises, whatever the server sends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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
"""How many characters of an unreadable answer are shown: enough to recognise what it is."""


ERROR_FIELDS = ("type", "code", "message", "param", "request_id")


def parsed(body: bytes | str) -> Any:
    """The value of JSON, parsed leniently; None where it is not JSON.

    Bytes that are not UTF-8 become U+FFFD; NaN, infinities and lone surrogates, which msgspec refuses, pass.
    """
    text = body if isinstance(body, str) else body.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def joined(pieces: Iterable[str]) -> str:
    """The pieces as one text, in which halves of a surrogate pair that meet are the character that they are."""
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def as_table(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[Any]:
    """The value if it is an array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else ()


def error_fields(body: bytes) -> dict[str, str]:
    """Those of `ERROR_FIELDS` that an error's body has as texts: in OpenAI's shape, or one close to it."""
    found = as_table(parsed(body))
    error = next((found[name] for name in ("error", "detail") if found.get(name)), found)
    fields = as_table(error) or {"message": error}
    return {name: text for name in ERROR_FIELDS if (text := fields.get(name)) and isinstance(text, str)}


def error_message(body: bytes) -> str:
    """The message of an error's body; empty where there is none."""
    return error_fields(body).get("message", "")


def quoted(body: bytes) -> str:
    """The beginning of an answer, quoted. Print it through `visible`: it may have control characters."""
    text = body.decode("utf-8", "replace")
    return f"'{text[:MAX_QUOTED]}…'" if len(text) > MAX_QUOTED else f"'{text}'"


REASONS: dict[type[HttpError], str] = {
    ConnectionRefused: "the connection was refused; is the server running?",
    UnknownHost: "the host name is not known",
    MalformedHost: "the host name is not one",
    TimedOut: "no answer in time",
    ConnectionClosed: "the connection was closed",
    MalformedResponse: "what came is not HTTP",
}
"""The failures of `http.client` in words for a terminal."""


# OpenSSL's codes: nobody that is trusted vouches for the certificate.
_UNKNOWN_ROOT = (18, 19, 20, 21)

# What OpenSSL makes of plain HTTP, by its version.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")


def reason(error: Exception) -> str:
    """Why a connection failed, in words instead of an errno."""
    failed = error if isinstance(error, HttpError) else failure(error)
    cause = failed.__cause__ or failed
    if isinstance(failed, TlsFailed):
        return f"the TLS handshake failed: {_tls_words(cause)}"
    known = next((words for kind, words in REASONS.items() if isinstance(failed, kind)), "")
    return known or _system_words(cause, str(failed))


def _tls_words(error: BaseException) -> str:
    if getattr(error, "verify_code", 0) in _UNKNOWN_ROOT:
        return f"{getattr(error, 'verify_message', '')}; SSL_CERT_FILE names a file with the roots of an own authority"
    if getattr(error, "reason", "") in _NO_TLS:
        return "no TLS is spoken at this port; is it one for http://?"
    return getattr(error, "verify_message", "") or _system_words(error, "there is no TLS")


def _system_words(error: BaseException, otherwise: str) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or otherwise
