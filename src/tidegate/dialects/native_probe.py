"""The native dialect for `POST /v1/probe`, by which a client learns what of its requests arrives at the server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tidegate.core.steps import Steps
from tidegate.dialects.fields import fields_of

Drop = Annotated[str, Meta(min_length=1, max_length=64)]
"""The name that the caller gives to a request that is not to be answered."""


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The optional body of a probe.

    With `drop` the connection is closed without an answer, and the request is counted under that name. `dropped` asks
    how often requests of that name have come, to any node.
    """

    drop: Drop | None = None
    dropped: Drop | None = None


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request has arrived; of its headers only the names.

    `address` is the client's, as trusted proxies report it, `time` the server's clock in Unix seconds, `body_bytes` the
    length of the body as it was sent, and `max_body_bytes` the longest that the server takes. `dropped` is null where
    the body did not ask for it.
    """

    http_version: str
    scheme: str
    host: str
    headers: list[str]
    address: str
    time: float
    body_bytes: int
    max_body_bytes: int
    dropped: int | None


_probe = msgspec.json.Decoder(Probe)


def parse(body: bytes) -> Steps[Probe]:
    """The body of a probe, which may be empty, and white space for the most part. Raises as `native.parse` does."""
    text = body.strip()
    if not text:
        return Probe()
    fields = yield from fields_of(text)
    return (yield from fields.read(_probe, ()))
