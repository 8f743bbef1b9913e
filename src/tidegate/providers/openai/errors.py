"""Turns an upstream's refusal into an error. Pure: status, headers and body in, the error out.

The body is OpenAI's `{"error": {"message", "type", "code", "param"}}`, or another server's variant: FastAPI's
`{"detail"}`, a bare `{"message"}`, `{"error": "text"}`, a list of errors, plain text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tidegate.core import lenient_json
from tidegate.core.lenient_json import as_list, as_object
from tidegate.errors import UpstreamRefused

KEPT_STATUSES = frozenset({400, 401, 402, 403, 404, 409, 413, 422, 429, 502, 503, 504})
"""Statuses that are passed on to the client, who can act on them. An upstream's 500 becomes 502: the bug is not in
tidegate."""

STAND_INS = {529: 503, 408: 504, 522: 504, 524: 504}
"""Anthropic's "overloaded", and time-outs, of which 522 and 524 are Cloudflare's."""

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}

STATUS_WORDS = {
    "invalid_api_key": 401,
    "model_not_found": 404,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "invalid_argument": 400,
    "authentication_error": 401,
    "unauthenticated": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "notfounderror": 404,
    "not_found": 404,
    "overloaded_error": 503,
    "unavailable": 503,
    "timeout_error": 504,
    "deadline_exceeded": 504,
}
"""The statuses for codes and types of errors in a 200 body: OpenAI's, Anthropic's, Google's and vLLM's."""

HOPELESS = frozenset({"insufficient_quota"})
"""Codes of a 429 that waiting does not help."""

MAX_MESSAGE_CHARACTERS = 2_000
"""Enough for a validation message; an HTML page does not fit."""

MAX_UNKNOWN_BYTES = 300
"""How much is shown of an error in an unknown shape."""

MAX_NAME_CHARACTERS = 128

MAX_WORDS = 8
"""How many entries of a list of errors are shown; further ones mostly repeat them."""

MAX_DEPTH = 4
"""How deep objects are searched for words: Mistral's list of details is at the third level."""

MIN_SECRET_CHARACTERS = 4
"""Shorter keys (`x`, `no`) are placeholders; redacting them would only mangle the message."""

CODE = re.compile(r"[\w.:-]+", re.ASCII)
"""Codes are logged. A sentence is no code, and may quote the prompt."""

# Linear in any text: a word is tried only at its beginning, and matched whole.
KEY_LIKE = re.compile(r"\bsk-[^\s\"',;]{8,}+|(?<![\w-])[\w-]++\*{3,}[\w*-]*")
"""Matches OpenAI's keys, and half-masked ones as some servers show them: `abcd****89`."""

WORDS = (
    *("message", "detail", "msg", "error", "errors", "error_message", "error_msg", "error_description", "description"),
    *("Message", "reason", "title", "base_resp", "status_msg"),
)
"""The fields that may hold the message of an error, the likeliest first."""

PLAIN_TEXT = re.compile(r"(?![<{\[\"])[^\x00-\x08\x0e-\x1f]*[A-Za-z]{2}[^\x00-\x08\x0e-\x1f]*")

NO_CODES: tuple[object, ...] = (None, "", 0, "0", 200, "200", "ok", "OK", [], {})
"""Values that mean "no error" where an error has its code."""

Fields = Mapping[str, Any]


def status_for(status: int) -> int:
    """The status that tidegate answers for an upstream's."""
    if status in KEPT_STATUSES:
        return status
    return STAND_INS.get(status, 400 if 400 <= status < 500 else 502)


def is_error(fields: Fields) -> bool:
    """Whether an object in a 200 body is an error, not a chunk: `{"error": …}`, vLLM's `{"object": "error", …}`."""
    if says_something(fields.get("error")) or "error" in (fields.get("object"), fields.get("type")):
        return True
    if "choices" in fields or "usage" in fields:
        return False
    if any(fields.get(name) for name in ("detail", "errors", "error_code", "error_msg", "error_message")):
        return True
    # A keep-alive may have a message, too.
    codes = (fields.get(name) for name in ("code", "status", "status_code", "statusCode"))
    return bool(fields.get("message")) and any(code not in NO_CODES for code in codes)


def says_something(error: object) -> bool:
    """Whether an error is more than an empty placeholder."""
    fields = as_object(error)
    return any(each not in NO_CODES for each in fields.values()) or (bool(error) and not fields)


def refusal(
    status: int, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now: float = 0.0
) -> UpstreamRefused:
    """The error for an answer that is not 2xx. `secrets` are redacted from its message; `now` is in Unix seconds."""
    should_retry = {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())
    return _refused(status, _decoded(body), secrets, retry_after(headers, now), should_retry)


def refusal_in_body(value: object, secrets: Sequence[str]) -> UpstreamRefused:
    """The error for one within a 200 body, from its decoded JSON or text; its `code` may be a status."""
    return _refused(next(_statuses(_error_in(value)), None), value, secrets, None, None)


def retry_after(headers: Mapping[str, str], now: float = 0.0) -> float | None:
    """The seconds to wait: `retry-after-ms`, or `retry-after` as a number or as a date.

    The date is counted from the upstream's own `date`, or from `now` where it sends none.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    then, theirs = _date(value), _date(headers.get("date", ""))
    return None if then is None else max(0.0, then - (now if theirs is None else theirs))


def _refused(
    theirs: int | None, said: object, secrets: Sequence[str], wait: float | None, should_retry: bool | None
) -> UpstreamRefused:
    fields = _error_in(said)
    status = 502 if theirs is None else theirs

    def text(key: str) -> str | None:
        value = fields.get(key)
        return redacted(lenient_json.mended(value), secrets)[:MAX_NAME_CHARACTERS] if isinstance(value, str) else None

    mapped = status_for(status)
    code = text("code")
    default = "invalid_request_error" if mapped < 500 else "upstream_error"
    return UpstreamRefused(
        redacted(_message(status, said), secrets)[:MAX_MESSAGE_CHARACTERS],
        type=text("type") or TYPES.get(mapped, default),
        status=mapped,
        code=code if code and CODE.fullmatch(code) else None,
        param=text("param") or None,
        retry_after=wait,
        retryable=False if should_retry is None and code in HOPELESS else should_retry,
        theirs=theirs,
    )


def _message(status: int, said: object) -> str:
    if words := lenient_json.mended("; ".join(words_of(said))):
        return words
    if not said:
        return f"The upstream answered {status}."
    return f"The upstream answered {status}: {lenient_json.dumps(said)[:MAX_UNKNOWN_BYTES].decode('utf-8', 'ignore')}"


def redacted(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets, and without whatever else looks like a key."""
    for secret in secrets:
        if len(secret) >= MIN_SECRET_CHARACTERS:
            text = text.replace(secret, "[redacted]")
    return KEY_LIKE.sub("[redacted]", text)


def _decoded(body: bytes) -> object:
    """The decoded JSON, or the text, of a body; None for HTML pages and truncated JSON, which are not shown."""
    text = _as_text(body).strip()
    if text.startswith(("data:", "event:")):
        text = "\n".join(line[5:].strip() for line in text.splitlines() if line.startswith("data:"))
    try:
        return lenient_json.loads(text.encode())
    except (ValueError, RecursionError):
        return text if PLAIN_TEXT.fullmatch(text) else None


def _as_text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _error_in(said: object) -> Fields:
    """Finds the object that has the error's type, code and param."""
    for each in as_list(said):
        if found := _error_in(each):
            return found
    fields = as_object(said)
    return as_object(fields.get("error")) or fields


def words_of(said: object, depth: int = 0) -> list[str]:
    """The messages of an error of any shape, from its likeliest fields, with FastAPI's `loc` before them."""
    if isinstance(said, str):
        return [said.strip()] if said.strip() else []
    if depth > MAX_DEPTH:
        return []
    words = [word for each in as_list(said)[:MAX_WORDS] for word in words_of(each, depth + 1)]
    fields = as_object(said)
    for name in WORDS if fields else ():
        if not words and name in fields:
            words = words_of(fields[name], depth + 1)
    place = ".".join(str(part)[:MAX_NAME_CHARACTERS] for part in as_list(fields.get("loc"))[:MAX_WORDS])
    if place and words:
        words = [f"{place}: {words[0]}", *words[1:]]
    return [*words, *_relayed(fields.get("metadata"))]


def _relayed(metadata: object) -> list[str]:
    """The message of a gateway's own upstream, where it comes besides the gateway's (OpenRouter)."""
    raw = as_object(metadata).get("raw")
    return [raw] if isinstance(raw, str) and raw else []


def _statuses(fields: Fields) -> Iterator[int]:
    for name in ("code", "status", "status_code", "statusCode", "http_status", "type"):
        value = fields.get(name)
        number = lenient_json.count(value)
        if number is not None and 400 <= number < 600:
            yield number
        elif isinstance(value, str) and value.lower() in STATUS_WORDS:
            yield STATUS_WORDS[value.lower()]


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: str) -> float | None:
    """A date in Unix seconds; None if it is not valid, for which the standard library raises various exceptions."""
    from email.utils import parsedate_tz

    parts = _tried(parsedate_tz, value)
    if parts is None:
        return None
    from calendar import timegm

    seconds = _tried(timegm, parts[:9])
    return None if seconds is None else seconds - (parts[9] or 0)


def _tried(parse: Callable[[Any], Any], value: object) -> Any:
    try:
        return parse(value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
