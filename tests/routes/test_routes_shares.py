from __future__ import annotations

import httpx
import pytest
from routes_kit import client_of, code_of

from tidegate import Tidegate

pytestmark = pytest.mark.anyio


async def opened(client: httpx.AsyncClient) -> str:
    return (await client.post("/v1/streams", json={"producer": "client"})).json()["id"]


async def test_a_share_link_leads_to_the_page_of_its_stream() -> None:
    """It is kept by nobody: no cache, no search engine."""
    async with client_of(Tidegate()) as client:
        stream = await opened(client)
        shared = (await client.post(f"/v1/streams/{stream}/share")).json()
        assert shared["url"] == f"http://localhost/s/{shared['token']}"
        page = await client.get(shared["url"])
    assert page.status_code == 200
    assert f'data-stream="{stream}"' in page.text
    assert (page.headers["cache-control"], page.headers["x-robots-tag"]) == ("no-store", "noindex")


async def test_a_revoked_link_has_a_page_that_says_so() -> None:
    """It does not tell whether there ever was a stream."""
    async with client_of(Tidegate()) as client:
        stream = await opened(client)
        link = (await client.post(f"/v1/streams/{stream}/share")).json()["url"]
        assert (await client.delete(f"/v1/streams/{stream}/share")).status_code == 204
        revoked, never = await client.get(link), await client.get(f"/s/share_{'0' * 64}")
    assert (revoked.status_code, never.status_code) == (404, 404)
    assert revoked.text == never.text
    assert stream not in revoked.text


async def test_only_a_stream_can_be_shared() -> None:
    """One that is not there is a 404, and a body that makes no sense a 400."""
    async with client_of(Tidegate()) as client:
        assert code_of(await client.post("/v1/streams/gen_1/share")) == (404, "stream_not_found")
        refused = await client.post(f"/v1/streams/{await opened(client)}/share", json={"ttl_seconds": -1})
        assert refused.status_code == 400
