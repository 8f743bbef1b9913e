from __future__ import annotations

import pytest
from routes_kit import client_of, code_of

from tidegate import Tidegate

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/streams/", "/v1//streams", "/v1/streams%2Fgen_1", "/v1/streams/a%2Fb", "/healthz%0A", "/V1/models"],
)
async def test_there_is_nothing_beside_the_routes(path: str) -> None:
    """No redirect, and no slash that divides nothing: what a proxy lets through is what is asked for."""
    async with client_of(Tidegate()) as client:
        assert code_of(await client.get(path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/streams", "GET, HEAD, POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/v1/streams/gen_1/events", "GET"),
        ("HEAD", "/v1/streams/gen_1/events", "GET"),
        ("GET", "/v1/streams/gen_1/cancel", "POST"),
    ],
)
async def test_another_method_is_told_which_there_are(method: str, path: str, allow: str) -> None:
    """HEAD is among them where GET is, but not for events, which have no end."""
    async with client_of(Tidegate()) as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models", "/openapi.json"])
async def test_head_is_get_without_the_body(path: str) -> None:
    """Its headers are the same, the length included."""
    async with client_of(Tidegate()) as client:
        whole, head = await client.get(path), await client.head(path)
    assert head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"]


async def test_a_mounted_application_has_its_routes_below_its_prefix() -> None:
    """Links to a stream begin with it."""
    async with client_of(Tidegate(), root_path="/llm") as client:
        assert (await client.get("/llm/healthz")).status_code == 200
        opened = await client.post("/llm/v1/streams", json={"producer": "client"})
        assert opened.headers["location"] == f"/llm/v1/streams/{opened.json()['id']}"
