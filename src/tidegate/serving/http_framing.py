"""The framing of requests: their parser, and how long a body is, as its head says it (RFC 9112, 6)."""

from __future__ import annotations

from collections.abc import Sequence

import httptools

from tidegate.errors import MalformedHttp

Field = tuple[bytes, bytes]

CHUNKED = b"chunked"


def body_length(headers: Sequence[Field], http_version: str) -> int | None:
    """The body's length in bytes; None if it is chunked. Names of headers are in lower case.

    Raises `MalformedHttp` for any other coding, which the application would get undecoded, and where two parties could
    disagree on the length: a coding and a length together, or a coding from a client before HTTP/1.1.
    """
    length, codings = 0, None
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            codings = value if codings is None else codings + b"," + value
    if codings is None:
        return length
    if codings.strip().lower() != CHUNKED or http_version != "1.1":
        raise MalformedHttp("The only transfer-encoding that this server takes is chunked, once, in HTTP/1.1.")
    if any(name == b"content-length" for name, _ in headers):
        raise MalformedHttp("A request has either a transfer-encoding or a content-length.")
    return None


def is_small(headers: Sequence[Field], most: int) -> bool:
    """Whether the head declares a body of at most `most` bytes, uncompressed."""
    fields = dict(headers)
    return (
        b"transfer-encoding" not in fields
        and fields.get(b"content-encoding", b"identity").lower() in (b"", b"identity")
        and int(fields.get(b"content-length", b"0")) <= most
    )


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """A parser that calls the methods of `protocol`, as uvicorn makes it."""
    parser = httptools.HttpRequestParser(protocol)
    # What comes behind a request that closes the connection is dropped, and is no error.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
