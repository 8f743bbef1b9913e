"""The cookie of the server's own pages: who may set it, to what, and how often."""

from __future__ import annotations

import gzip
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from api_kit import fetch

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import AuthSettings, LimitSettings, ServerSettings
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.gate.jwt.tokens import mint
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

KEY = "tg_ci"
LONGEST = "x" * (4096 - len("tidegate_token=; Path=/; HttpOnly; SameSite=Strict"))
TOO_LONG = LONGEST + "x"


@asynccontextmanager
async def guarded(*, public_url: str = "", **limits: int) -> AsyncIterator[str]:
    keys = tuple(
        ApiKey(name=name, sha256=key_sha256(key), scopes=("read", "generate"))
        for name, key in (("ci", KEY), ("longest", LONGEST), ("too-long", TOO_LONG))
    )
    settings = msgspec.structs.replace(
        EMBEDDED,
        auth=AuthSettings(keys=keys),
        limits=LimitSettings(**limits),
        server=ServerSettings(allowed_hosts=("*",), public_url=public_url),
    )
    app = Tidegate(settings)
    async with serving(app) as url:
        yield url
    await app.close()


async def begin(url: str, token: str, headers: Mapping[str, str] = {}) -> tuple[int, Mapping[str, str], Any]:
    return await fetch(f"{url}/v1/session", "POST", {"token": token}, headers)


@pytest.mark.parametrize("host", ["localhost", "[::1]:8000", "app.example.com:99999"])
async def test_cookie(host: str) -> None:
    """It is good for where the server stands, whatever name the request was made to."""
    async with guarded() as url:
        status, headers, _ = await begin(url, KEY, {"host": host})
    assert (status, headers["set-cookie"]) == (204, "tidegate_token=tg_ci; Path=/; HttpOnly; SameSite=Strict")


async def test_cookie_behind_a_proxy() -> None:
    """Behind a proxy it is good for the public URL, and for nothing beside it."""
    async with guarded(public_url="https://app.example.com/llm") as url:
        _, headers, _ = await begin(url, KEY)
    assert headers["set-cookie"] == "tidegate_token=tg_ci; Path=/llm; HttpOnly; SameSite=Strict; Secure"


@pytest.mark.parametrize("host", ["[.]", "[::::]"])
async def test_a_host_that_is_none(host: str) -> None:
    """A Host that only looks like an address is refused, and breaks nothing."""
    async with guarded() as url:
        status, _, answer = await begin(url, KEY, {"host": host})
    assert (status, answer["error"]["code"]) == (400, "host_not_allowed")


async def test_body() -> None:
    """Anybody may call it: it reads no more than a credential needs, packed or not."""
    async with guarded() as url:
        big = {"token": KEY, "x": "x" * 16_384}
        assert (await fetch(f"{url}/v1/session", "POST", big))[0] == 413
        packed = gzip.compress(b" " * 16_000_000)
        assert (await fetch(f"{url}/v1/session", "POST", packed, {"content-encoding": "gzip"}))[0] == 413
        assert (await begin(url, KEY))[0] == 204


async def test_a_credential_that_no_browser_keeps() -> None:
    """A cookie that browsers would drop without a word is not set."""
    async with guarded() as url:
        assert (await fetch(f"{url}/v1/models", headers={"authorization": f"Bearer {TOO_LONG}"}))[0] == 200
        assert (await begin(url, LONGEST))[0] == 204
        status, headers, answer = await begin(url, TOO_LONG)
    assert (status, answer["error"]["param"]) == (400, "token")
    assert "too long for a cookie" in answer["error"]["message"]
    assert LONGEST not in answer["error"]["message"]
    assert "set-cookie" not in headers


async def test_failures() -> None:
    """Wrong credentials and share links are refused as often as requests may be made; then no answer says more than
    to wait. Who has valid ones comes in from the same address."""
    async with guarded(requests_per_minute=60, burst=3) as url:
        assert [(await begin(url, "wrong"))[0] for _ in range(4)] == [401, 401, 401, 429]
        status, headers, _ = await fetch(f"{url}/s/share_{'0' * 64}")
        assert status == 429
        assert int(headers["retry-after"]) == 1
        assert (await fetch(f"{url}/v1/models"))[0] == 429
        assert (await begin(url, KEY))[0] == 204
        assert (await fetch(f"{url}/v1/models", headers={"authorization": f"Bearer {KEY}"}))[0] == 200


SECRET = "a secret of at least thirty-two bytes"


@asynccontextmanager
async def guarded_by_tokens(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setenv("SECRET", SECRET)
    app = Tidegate(msgspec.structs.replace(EMBEDDED, auth=AuthSettings(jwt_secret_env="SECRET")))
    async with serving(app) as url:
        yield url
    await app.close()


def token_for(seconds: int) -> str:
    named = {"sub": "ann", "scopes": ["read"], "issuer": "", "audience": ""}
    return mint(SECRET.encode(), ttl_seconds=seconds, now=time.time(), **named)


async def test_the_cookie_ends_with_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server grants to clocks that differ is nothing that a browser is to count on."""
    async with guarded_by_tokens(monkeypatch) as url:
        status, headers, _ = await begin(url, token_for(60))
    age = int(headers["set-cookie"].rpartition("Max-Age=")[2])
    assert status == 204
    assert 55 < age <= 60


async def test_a_token_that_is_over_makes_no_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser would drop it at once, and the page would not know why it is not known."""
    async with guarded_by_tokens(monkeypatch) as url:
        status, headers, body = await begin(url, token_for(-5))
    assert (status, body["error"]["code"]) == (401, "token_expired")
    assert "set-cookie" not in headers
