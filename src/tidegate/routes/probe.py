"""Tells a client what of its request has arrived, for `tidegate doctor`: proxies in between may change it."""

from __future__ import annotations

import time

from tidegate.core.connection import ResponseAborted
from tidegate.core.steps import Steps
from tidegate.dialects import native_probe
from tidegate.dialects.native_probe import Arrived, Probe
from tidegate.errors import InvalidValue
from tidegate.routes.call import Call


async def probe(call: Call) -> None:
    """Answers with what has arrived, or closes the connection unanswered and counts that."""
    asked, size = await call.read(_sized)
    if asked.drop is not None:
        _drop(call, asked.drop)
    dropped = None if asked.dropped is None else await call.context.nodes.dropped(call.principal.name, asked.dropped)
    await call.answer_json(_arrived(call, size, dropped))


def _sized(body: bytes) -> Steps[tuple[Probe, int]]:
    return (yield from native_probe.parse(body)), len(body)


def _drop(call: Call, name: str) -> None:
    """Raises `ResponseAborted`; `RateLimited`; and `InvalidValue` under a server that answers in any case."""
    if call.wire is None:
        raise InvalidValue("this server cannot leave a request unanswered", param="drop")
    call.context.nodes.drop(call.principal.name, name)
    raise ResponseAborted


def _arrived(call: Call, size: int, dropped: int | None) -> Arrived:
    return Arrived(
        http_version=call.http_version,
        scheme=call.scheme,
        host=call.header(b"host") or "",
        headers=call.header_names(),
        address=call.address,
        time=time.time(),
        body_bytes=size,
        max_body_bytes=call.context.max_body_bytes,
        dropped=dropped,
    )
