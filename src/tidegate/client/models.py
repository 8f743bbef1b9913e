"""Lists the models of the server behind `--upstream`."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPResponse

from tidegate.client.http import FAILURES, bearer, get
from tidegate.client.words import as_list, as_table, error_message, parsed, quoted, reason
from tidegate.core.url import shown_url
from tidegate.errors import UpstreamMalformed, UpstreamRefused, UpstreamUnreachable

MAX_LIST_BYTES = 4 * 1024 * 1024
"""A list of ten thousand models is smaller; a larger body is no such list."""

CHUNK_BYTES = 65536

MAX_NAME = 256
"""The same as in `[[models]]`."""

NAMED = ("id", "model", "name")
"""The fields of a model's name, by preference: OpenAI's, Ollama's, and that of Gemini and Cohere."""

LISTED = ("data", "models")
"""The fields of the list: OpenAI's, and that of Ollama, Gemini and Cohere."""


def list_models(base_url: str, api_key: str, *, timeout: float = 10.0) -> list[str]:
    """The names of a server's models, from `base_url/models`, each once. `timeout` limits the whole call, in seconds.

    Reads OpenAI's object, and the variants of other servers: a bare list of objects or names, or one under `models`.
    Raises `UpstreamUnreachable`, `UpstreamRefused` where the answer is not 200, and `UpstreamMalformed` where no model
    can be read from it.
    """
    url = base_url.rstrip("/") + "/models"
    status, headers, body = _answer(url, {"accept": "application/json", **bearer(api_key)}, timeout)
    if status != 200:
        said = _refusal(status, headers, body, has_key=bool(api_key))
        raise UpstreamRefused(f"{url} answered {status}: {said}", type="upstream_error", status=status)
    value = parsed(body)
    if value is None:
        raise UpstreamMalformed(f"{url} did not answer with a list of models, but 200 with {quoted(body)}")
    names = list(dict.fromkeys(_names(value)))
    if not names:
        raise UpstreamMalformed(f"{url} lists no models: it answered 200 with {quoted(body)}")
    return names


def _answer(url: str, headers: Mapping[str, str], timeout: float) -> tuple[int, Mapping[str, str], bytes]:
    """Status, header fields with names in lower case, and decompressed body."""
    response = get(url, headers, timeout=timeout)
    try:
        with response:
            body = _read(response, timeout)
    except FAILURES as error:
        raise UpstreamUnreachable(f"{url} answered {response.status}, and broke off: {reason(error)}") from error
    fields = {name.lower(): value for name, value in response.getheaders()}
    return response.status, fields, _plain(body, fields.get("content-encoding", ""))


def _read(response: HTTPResponse, seconds: float) -> bytes:
    """The body, within `seconds` in all: a server that sends single bytes would never exceed the time-out of a read."""
    give_up = time.monotonic() + seconds
    body = b""
    while len(body) < MAX_LIST_BYTES and (chunk := response.read1(CHUNK_BYTES)):
        body += chunk
        if time.monotonic() > give_up:
            raise TimeoutError
    return body


def _plain(body: bytes, encoding: str) -> bytes:
    """The decompressed body: some servers compress although they were not asked to."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    with suppress(zlib.error):
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, MAX_LIST_BYTES)
    return body


def _refusal(status: int, headers: Mapping[str, str], body: bytes, *, has_key: bool) -> str:
    if status in (401, 403):
        said = "it refuses the key in" if has_key else "it asks for a key: put it into"
        return f"{said} UPSTREAM_API_KEY ({error_message(body) or quoted(body)})"
    if 300 <= status < 400 and (location := headers.get("location")):
        return f"it redirects to {shown_url(location)}: give that place, without /models, as --upstream"
    said = error_message(body) or quoted(body)
    return f"{said} (--upstream is the URL before /models, which mostly ends in /v1)" if status == 404 else said


def _names(value: object) -> Iterator[str]:
    """The names in a list of models, wrapped or bare. Entries without a usable name are left out."""
    wrapped = (as_table(value).get(key) for key in LISTED)
    entries = next((found for each in (value, *wrapped) if (found := as_list(each))), ())
    return (name for entry in entries if (name := next(_candidates(entry), "")))


def _candidates(entry: object) -> Iterator[str]:
    for name in (entry, *(as_table(entry).get(key) for key in NAMED)):
        if isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable() and "\ufffd" not in name:
            yield name
