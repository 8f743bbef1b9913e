"""The pages of two nodes behind nginx or Caddy, as these are shipped."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest
from way_kit import HTTP, Stack, Way

pytestmark = pytest.mark.anyio

FILE = "/web/chat.js"
PACKED = [Way(gzip=True), Way(tls=True, http2=True, gzip=True, prefix="/llm")]

ASKED = 4
"""So often, either node is asked."""


@pytest.mark.parametrize("way", PACKED, ids=str)
async def test_a_file_passes_as_a_node_has_packed_it(stack: Stack, way: Way) -> None:
    """Who asks for it plain has it plain; whoever has it already, from whichever node, is not sent it again."""
    async with way.client(stack.front) as client:
        plain = await client.get(FILE, headers={"accept-encoding": "identity"})
        packed = [await client.get(FILE) for _ in range(ASKED)]
        known = [await client.get(FILE, headers={"if-none-match": plain.headers["etag"]}) for _ in range(ASKED)]
    assert "content-encoding" not in plain.headers
    assert {(each.headers["content-encoding"], each.content) for each in packed} == {("gzip", plain.content)}
    assert {(each.status_code, each.content) for each in known} == {(304, b"")}
    for answer in (plain, *packed, *known):
        assert answer.headers["etag"] == plain.headers["etag"]
        assert answer.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize("page", ["/llm/", "/llm/docs", "/llm/room/lobby"])
async def test_a_page_names_modules_that_are_there(stack: Stack, page: str) -> None:
    """A browser fetches them at once, relative to the page, also below the prefix."""
    async with HTTP.client(stack.front) as client:
        text = (await client.get(page)).text
        named = re.findall(r'rel="modulepreload" href="([^"]+)"', text)
        asked = (client.get(httpx.URL(stack.front.url + page).join(each)) for each in named)
        answers = await asyncio.gather(*asked)
    assert len(answers) > 1
    assert {(each.status_code, each.headers["content-type"]) for each in answers} == {
        (200, "text/javascript; charset=utf-8")
    }
