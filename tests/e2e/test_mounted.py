"""Mounted into an application whose middleware stands between tidegate and its own protocol class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from api_kit import call, fetch
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from tidegate.app import Tidegate
from tidegate.core.events import GenerationRequest
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio


class Later(BaseHTTPMiddleware):
    """Sends on what it was given from a task of its own, so that the application's `send` returns too early."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


async def answer(request: GenerationRequest) -> AsyncIterator[str]:
    for word in ("a ", "b ", "c "):
        yield word
        await asyncio.sleep(0)


@pytest.mark.parametrize("middleware", [(), (Later,), (GZipMiddleware,), (Later, Later)])
async def test_every_event_arrives(middleware: tuple[type, ...]) -> None:
    """Whatever middleware does with the head of an answer, events follow it and never come before it."""
    streams = Tidegate(models={"m": answer})
    app = Starlette(routes=[Mount("/llm", streams)], middleware=[Middleware(each) for each in middleware])
    async with serving(app) as url:
        body = {"model": "m", "prompt": "x", "background": True}
        _, _, made = await fetch(f"{url}/llm/v1/streams", "POST", body)
        for _ in range(2):
            async with call(f"{url}/llm/v1/streams/{made['id']}/events") as found:
                assert found.status == 200
                assert [event.event async for event in found.events()] == ["started", *["delta"] * 3, "completed"]
    await streams.close()
