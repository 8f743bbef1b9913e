"""Which path, and which host, a request is for, however it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from tidegate.app import Tidegate
from tidegate.config import ServerSettings, Settings
from tidegate.core.events import GenerationRequest
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio


async def answer(request: GenerationRequest) -> AsyncIterator[str]:
    yield "x"


async def ask(url: str, line: str, *headers: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    writer.write("\r\n".join([line, *headers, "connection: close", "", ""]).encode("latin-1"))
    head = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return int(head.split()[1])


def served() -> Tidegate:
    return Tidegate(Settings(server=ServerSettings(), models=()), models={"org/name": answer, "plain": answer})


def spelled(path: str) -> Iterator[str]:
    """With each slash but the first encoded."""
    for at, character in enumerate(path):
        if at and character == "/":
            yield path[:at] + "%2f" + path[at + 1 :]
            yield path[:at] + "%2F" + path[at + 1 :]


FALSE = [
    *spelled("/v1/models"),
    *spelled("/v1/streams/gen_x"),
    "/v1/streams/gen_x%2fevents",
    "/v1/topics/a%2fb/presence",
    "/v1/streams/..%2f..%2fhealthz",
    "/v1/models%2fplain",
    "/web/..%2fapp.py",
    "/v1/%2e%2e/healthz",
    "/v1/../healthz",
    "//healthz",
    "/healthz%00",
    "/healthz%252f",
    "/v1/models/org%252Fname",
    "/v1/streams/gen_x%00",
    "/web/%2e%2e",
    "/web/..%5c..%5capp.py",
]


async def test_a_path_is_what_it_says() -> None:
    """Encoded slashes, dots, zeros and what is encoded twice lead nowhere else."""
    app = served()
    async with serving(app) as url:
        found = {path: await ask(url, f"GET {path} HTTP/1.1", "host: localhost") for path in FALSE}
    await app.close()
    assert found == dict.fromkeys(FALSE, 404)


async def test_a_models_name_may_have_slashes() -> None:
    """OpenAI's clients encode them, and some do not."""
    app = served()
    async with serving(app) as url:
        for path in ("/v1/models/org/name", "/v1/models/org%2Fname", "/v1/models/org%2fname", "/v1/models/plain"):
            assert await ask(url, f"GET {path} HTTP/1.1", "host: localhost") == 200
    await app.close()


@pytest.mark.parametrize(
    ("line", "host", "status"),
    [
        ("GET http://localhost/healthz HTTP/1.1", "host: evil.example", 200),
        ("GET http://evil.example/healthz HTTP/1.1", "host: localhost", 400),
        ("GET HTTP://EVIL.example:80/healthz HTTP/1.1", "host: localhost", 400),
        ("GET http://localhost@evil.example/healthz HTTP/1.1", "host: localhost", 400),
        ("GET http://evil.example/healthz HTTP/1.0", "x: y", 400),
        ("GET http://localhost/healthz HTTP/1.0", "x: y", 200),
        ("GET http://evil.example HTTP/1.0", "host: localhost", 400),
        ("GET http://evil.example/@localhost/ HTTP/1.1", "host: localhost", 400),
        ("GET http://localhost/healthz HTTP/1.1", "x: y", 400),
    ],
)
async def test_an_absolute_request_is_judged_by_its_target(line: str, host: str, status: int) -> None:
    """Whatever Host says, and where there is none."""
    app = served()
    async with serving(app) as url:
        assert await ask(url, line, host) == status
    await app.close()
