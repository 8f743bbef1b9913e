"""Tokens of an issuer, whose keys a running server fetches over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import msgspec
import pytest
from api_kit import fetch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import AuthSettings, LimitSettings
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio


class Issuer:
    """Serves its public keys as a JWKS, on loopback, and signs with the newest."""

    def __init__(self) -> None:
        self.keys: dict[str, Ed25519PrivateKey] = {}
        self.fetches = 0
        self.down = False
        self.rotate("first")

    def rotate(self, kid: str) -> None:
        """Signs with a new key from here on; what was signed with the one before is still out there."""
        self.keys = {**dict(list(self.keys.items())[-1:]), kid: Ed25519PrivateKey.generate()}

    def token(self, kid: str | None = None) -> str:
        newest, key = list(self.keys.items())[-1]
        claims = {"iss": self.url, "aud": "tidegate", "sub": "ann", "scope": "read", "exp": time.time() + 60}
        return jwt.encode(claims, key, "EdDSA", headers={"kid": kid or newest})

    def document(self) -> bytes:
        found: list[dict[str, Any]] = []
        for kid, key in self.keys.items():
            found.append({**jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid})
        return json.dumps({"keys": found}).encode()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.fetches += 1
        body = b"<h1>Back soon</h1>" if self.down else self.document()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, Issuer]]:
    issuer = Issuer()
    async with issuer.serving():
        settings = msgspec.structs.replace(
            EMBEDDED,
            auth=AuthSettings(jwks_url=f"{issuer.url}/jwks", issuer=issuer.url, audience="tidegate"),
            limits=LimitSettings(requests_per_minute=0),
        )
        app = Tidegate(settings)
        await app.start()
        async with serving(app) as url:
            yield url, issuer
        await app.close()


async def status(url: str, token: str) -> int:
    return (await fetch(f"{url}/v1/streams", headers={"authorization": f"Bearer {token}"}))[0]


async def test_rotation_under_load() -> None:
    """The issuer changes its key while 20 callers ask on: no request with a token of the day fails."""
    async with served() as (url, issuer):
        under_way = asyncio.Event()

        async def ask() -> set[int]:
            seen: set[int] = set()
            for turn in range(15):
                seen.add(await status(url, issuer.token()))
                if turn == 5:
                    under_way.set()
            return seen

        asking = [asyncio.ensure_future(ask()) for _ in range(20)]
        await under_way.wait()
        issuer.rotate("second")
        assert await asyncio.gather(*asking) == [{200}] * 20
        assert issuer.fetches <= 3


async def test_a_flood_of_unknown_keys() -> None:
    """Tokens that name made-up keys are refused, and the issuer is hardly asked; those of others count meanwhile."""
    async with served() as (url, issuer):
        good = issuer.token()
        assert await status(url, good) == 200
        flood = [asyncio.ensure_future(status(url, issuer.token(f"made-up-{n}"))) for n in range(90)]
        assert [await status(url, good) for _ in range(20)] == [200] * 20
        assert set(await asyncio.gather(*flood)) == {401}
        assert issuer.fetches <= 4


async def test_an_issuer_that_is_down() -> None:
    """What is known of its keys counts on; a token with a key that nobody knows cannot be judged: 503, come back."""
    async with served() as (url, issuer):
        good = issuer.token()
        assert await status(url, good) == 200
        issuer.down = True
        assert await status(url, good) == 200
        unknown = await fetch(f"{url}/v1/streams", headers={"authorization": f"Bearer {issuer.token('unknown')}"})
        assert (unknown[0], unknown[2]["error"]["code"]) == (503, "issuer_unavailable")
        assert int(unknown[1]["retry-after"]) >= 1
        assert await status(url, good) == 200
