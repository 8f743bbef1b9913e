"""What an upstream's refusal becomes. Pure: status, headers and body in, the error out.

The body is OpenAI's `{"error": {"message", "type", "code", "param"}}`, or what others make of it: FastAPI's
`{"detail"}`, a bare `{"message"}`, `{"error": "text"}`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from tidegate.errors import UpstreamRefused

KEPT_STATUSES = frozenset({400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 426, 429, 431, 502, 503, 504})
"""Answered as the upstream did. Its 500 is our 502: it is not tidegate that has the bug."""

OVERLOADED = frozenset({420, 529})
"""Some servers' own words for "too busy"."""

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}

MAX_MESSAGE_CHARACTERS = 2_000
"""Enough for a validation message; an HTML page does not fit."""

MAX_NAME_CHARACTERS = 128

MIN_SECRET_CHARACTERS = 4
"""Shorter ones (`x`, `no`) are placeholders; cutting them out would only mangle the message."""

CODE = re.compile(r"[\w.:-]+", re.ASCII)
"""Codes are logged. A sentence is none, and may quote the prompt."""

# Linear in any text: a word is tried at its beginning only, and taken whole.
KEY_LIKE = re.compile(r"\bsk-[^\s\"',;]++|(?<![\w-])[\w-]++\*{3,}[\w*-]*")
"""OpenAI's keys, and the half-masked ones that some servers show: `abcd****89`."""


def status_for(status: int) -> int:
    """Which of the statuses that tidegate answers stands for the upstream's."""
    if status in KEPT_STATUSES:
        return status
    if status in OVERLOADED:
        return 503
    return 400 if 400 <= status < 500 else 502


def refusal(status: int, body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> UpstreamRefused:
    """The error of an answer that is not 2xx. `secrets` are cut out of what it says."""
    return _refused(status, _fields(body), secrets, retry_after(headers))


def refusal_in_stream(data: str, secrets: Sequence[str]) -> UpstreamRefused:
    """The error of an `error` object within a stream; its `code` may be a status."""
    fields = _fields(data)
    code = fields.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 502
    return _refused(status, fields, secrets, None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds to wait: `retry-after-ms`, or `retry-after` as a number or as a date beside `date`."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _number(value)
    return _until(value, headers.get("date", "")) if seconds is None else seconds


def _refused(status: int, fields: Mapping[str, Any], secrets: Sequence[str], wait: float | None) -> UpstreamRefused:
    def text(key: str, limit: int) -> str | None:
        value = fields.get(key)
        return redacted(value, secrets)[:limit] if isinstance(value, str) and value else None

    mapped = status_for(status)
    code = text("code", MAX_NAME_CHARACTERS)
    default = "invalid_request_error" if mapped < 500 else "upstream_error"
    return UpstreamRefused(
        text("message", MAX_MESSAGE_CHARACTERS) or f"The upstream answered {status}.",
        type=text("type", MAX_NAME_CHARACTERS) or TYPES.get(mapped, default),
        status=mapped,
        code=code if code and CODE.fullmatch(code) else None,
        param=text("param", MAX_NAME_CHARACTERS),
        retry_after=wait,
    )


def redacted(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets, and without whatever else looks like a key."""
    for secret in secrets:
        if len(secret) >= MIN_SECRET_CHARACTERS:
            text = text.replace(secret, "[redacted]")
    return KEY_LIKE.sub("[redacted]", text)


def _fields(body: bytes | str) -> Mapping[str, Any]:
    try:
        decoded: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    if not isinstance(decoded, dict):
        return {}
    fields = cast("dict[str, Any]", decoded)
    error = fields.get("error")
    if isinstance(error, dict):
        return cast("dict[str, Any]", error)
    if isinstance(error, str):
        return {"message": error}
    return fields if "message" in fields else {"message": fields.get("detail")}


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(then: str, now: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(then) - parsedate_to_datetime(now)).total_seconds())
    except (ValueError, TypeError):
        return None
