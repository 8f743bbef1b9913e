from __future__ import annotations

import pytest
from routes_kit import client_of, code_of, error_of

from tidegate import Tidegate

pytestmark = pytest.mark.anyio


async def test_everybodys_streams_are_listed_newest_first() -> None:
    """With their owner and how many read them, a page at a time."""
    async with client_of(Tidegate()) as client:
        ids = [(await client.post("/v1/streams", json={"producer": "client"})).json()["id"] for _ in range(3)]
        page = (await client.get("/v1/admin/streams", params={"limit": 2})).json()
        assert [each["id"] for each in page["data"]] == [ids[2], ids[1]]
        assert {(each["owner"], each["readers"]) for each in page["data"]} == {("anonymous", 0)}
        assert page["has_more"]
        rest = (await client.get("/v1/admin/streams", params={"before": ids[1]})).json()
        assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([ids[0]], False)


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("connections?limit=0", "limit"),
        ("connections?limit=1001", "limit"),
        ("connections?transport=tcp", "transport"),
        ("streams?limit=x", "limit"),
        ("streams?status=done", "status"),
        ("streams?limit=1&limit=2", "limit"),
    ],
)
async def test_what_is_asked_for_makes_sense(path: str, param: str) -> None:
    """What does not is a 400 that names the parameter."""
    async with client_of(Tidegate()) as client:
        refused = await client.get(f"/v1/admin/{path}")
    assert (refused.status_code, error_of(refused)["param"]) == (400, param)


async def test_where_nobody_is_connected_nobody_is_closed() -> None:
    """A call that has its answer is no connection any more."""
    async with client_of(Tidegate()) as client:
        assert (await client.get("/v1/admin/connections")).json() == {"data": [], "has_more": False, "unanswered": 0}
        assert code_of(await client.post("/v1/admin/connections/conn_1/close")) == (404, "not_found")
