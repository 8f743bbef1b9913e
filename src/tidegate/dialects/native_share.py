"""The native dialect for sharing a stream: the body of `POST /v1/streams/{id}/share`, and its answer."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tidegate.dialects.body import parse_body


class ShareStream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The optional body of a share: how long its token is valid, in seconds, from a second to a year."""

    ttl_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] = 86400


class Shared(msgspec.Struct, frozen=True):
    """A token that reads one stream, and the page that shows it. `expires_at` is in Unix seconds.

    The token is shown only this once: the server keeps its hash alone.
    """

    token: str
    url: str
    expires_at: float


_share = msgspec.json.Decoder(ShareStream)


def parse(body: bytes) -> ShareStream:
    """The body of a share; an empty one asks for a day. Raises `InvalidJson`, `UnknownField` or `InvalidValue`."""
    return parse_body(_share, body) if body.strip() else ShareStream()
