"""The application, called without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tidegate import Tidegate
from tidegate.core.sse import Decoder, ServerSentEvent


@asynccontextmanager
async def client_of(app: Tidegate, *, root_path: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """A client whose answers are there once they are whole; at the end the application is closed."""
    transport = httpx.ASGITransport(app, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await app.close()


def events_of(answer: httpx.Response) -> list[ServerSentEvent]:
    """The events of an answer that is a stream of them."""
    assert answer.headers["content-type"] == "text/event-stream"
    return list(Decoder().feed(answer.content))


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """The status of an answer, and the code of its error."""
    return answer.status_code, error_of(answer)["code"]


def error_of(answer: httpx.Response) -> Mapping[str, Any]:
    return answer.json()["error"]
