from __future__ import annotations

from importlib.resources import files

import pytest
from routes_kit import client_of, code_of

from tidegate import Tidegate
from tidegate.routes.page_files import MEDIA_TYPES

pytestmark = pytest.mark.anyio

WEB = files("tidegate.web")
FILES = {
    entry.name: entry
    for room in (WEB, WEB / "client")
    for entry in room.iterdir()
    if entry.name.rpartition(".")[2] in MEDIA_TYPES.keys() - {"html"}
}


@pytest.mark.parametrize("path", ["/", "/docs", "/room/lobby"])
async def test_a_page_has_nothing_from_elsewhere(path: str) -> None:
    """It is nobody's frame, runs no inline script, and is asked for again after an update."""
    async with client_of(Tidegate()) as client:
        page = await client.get(path)
    assert page.headers["content-type"] == MEDIA_TYPES["html"]
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", sorted(FILES))
async def test_a_file_is_served_as_what_it_is(name: str) -> None:
    """Browsers take a script or a style sheet of no other type."""
    async with client_of(Tidegate()) as client:
        found = await client.get(f"/web/{name}")
    assert found.headers["content-type"] == MEDIA_TYPES[name.rpartition(".")[2]]
    assert found.content == FILES[name].read_bytes()


@pytest.mark.parametrize("path", ["/", "/web/chat.js"])
async def test_a_page_that_is_loaded_again_is_not_sent_again(path: str) -> None:
    """It goes out compressed to clients that ask for it, and its name stays for as long as its content does."""
    async with client_of(Tidegate()) as client:
        plain = await client.get(path, headers={"accept-encoding": "identity"})
        packed = await client.get(path, headers={"accept-encoding": "gzip"})
        known = await client.get(path, headers={"if-none-match": plain.headers["etag"]})
    assert packed.content == plain.content
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["etag"] == plain.headers["etag"]
    assert plain.headers["vary"] == "accept-encoding"
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["none.js", "..", "__init__.py", "chat.js.map"])
async def test_what_is_no_file_of_the_pages_is_not_served(name: str) -> None:
    """Whatever else stands in the folder."""
    async with client_of(Tidegate()) as client:
        assert code_of(await client.get(f"/web/{name.replace('..', '%2E%2E')}")) == (404, "not_found")


async def test_a_room_has_the_name_of_a_topic() -> None:
    """What cannot be a topic has no page."""
    async with client_of(Tidegate()) as client:
        assert (await client.get("/room/-lobby")).status_code == 400


async def test_the_api_is_described() -> None:
    """For programs, as OpenAPI."""
    async with client_of(Tidegate()) as client:
        described = (await client.get("/openapi.json")).json()
    assert described["openapi"].startswith("3.")
    assert "/v1/streams" in described["paths"]
