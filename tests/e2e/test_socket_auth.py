"""Who may use the WebSocket, by which credentials, and for how long."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import jwt
import msgspec
import pytest
from api_kit import fetch
from socket_kit import MSGPACK, CallFailed, socket

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import AuthSettings, LimitSettings
from tidegate.core.principal import Scope
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.gate.jwt.claims import LEEWAY_SECONDS
from tidegate.providers.settings import ReplayModel
from tidegate.routes import socket as session
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef0123456789abcdef"
ALL = " ".join(scope for scope in get_args(Scope) if scope != "admin")


def token(sub: str = "ann", *, scope: str = ALL, left: float = 3600, **claims: Any) -> str:
    """A token that counts for so many seconds, leeway included."""
    claims = {"sub": sub, "scope": scope, "exp": time.time() + left - LEEWAY_SECONDS, **claims}
    return jwt.encode(claims, SECRET, "HS256")


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


@asynccontextmanager
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setenv("SOCKET_SECRET", SECRET)
    settings = msgspec.structs.replace(
        EMBEDDED,
        models=(ReplayModel(name="replay", rate=0, tokens=5), ReplayModel(name="slow", rate=1)),
        auth=AuthSettings(
            keys=(ApiKey(name="ci", sha256=key_sha256("tg_ci"), scopes=("generate", "read")),),
            jwt_secret_env="SOCKET_SECRET",
        ),
        limits=LimitSettings(requests_per_minute=0),
    )
    app = Tidegate(settings)
    async with serving(app) as url:
        yield url
    await app.close()


async def test_ways_to_say_who(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the header, by a subprotocol that is never echoed, by the pages' cookie, or by the first message."""
    async with served(monkeypatch) as url:
        async with socket(url, headers=bearer("tg_ci")) as client:
            await client.call("create", model="replay", prompt="x")
        async with socket(url, token="tg_ci") as client:
            assert client.connection.subprotocol == "tidegate.v1"
            await client.call("create", model="replay", prompt="x")
        async with socket(url, headers={"cookie": "tidegate_token=tg_ci", "origin": url}) as client:
            await client.call("create", model="replay", prompt="x")
        async with socket(url, MSGPACK) as client:
            with pytest.raises(CallFailed, match="invalid_credentials"):
                await client.call("create", model="replay", prompt="x")
            assert await client.call("auth", token="tg_ci") == {"principal": "key:ci"}
            await client.call("create", model="replay", prompt="x")
        assert len((await fetch(f"{url}/v1/streams", headers=bearer("tg_ci")))[2]["data"]) == 4


@pytest.mark.parametrize("credential", ["tg_no", "a.b.c", "share_" + "0" * 64])
async def test_bad_credentials(monkeypatch: pytest.MonkeyPatch, credential: str) -> None:
    """Bad credentials are let in to be told so: 4401, by whichever way they came."""
    async with served(monkeypatch) as url:
        async with socket(url, token=credential) as client:
            assert await client.closed() == 4401
        async with socket(url) as client:
            with pytest.raises(CallFailed, match="invalid_credentials"):
                await client.call("auth", token=credential)
            assert await client.closed() == 4401


async def test_before_auth_a_socket_takes_three_messages_of_4_kb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is served who does not say who it is: not for long, and not with much."""
    async with served(monkeypatch) as url:
        async with socket(url) as client:
            for _ in range(2):
                await client.call("ping")
            assert await client.call("auth", token="tg_ci") == {"principal": "key:ci"}
            for _ in range(5):
                await client.call("ping")
        async with socket(url) as client:
            for _ in range(3):
                await client.call("ping")
            assert await client.closed() == 4401
        async with socket(url) as client:
            await client.send({"id": "x" * 4097, "op": "ping"})
            assert await client.closed() == 1009


async def test_nobody_says_who(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not say who it is in time is sent away."""
    monkeypatch.setattr(session, "AUTH_SECONDS", 0.2)
    async with served(monkeypatch) as url, socket(url) as client:
        assert await client.call("ping") == {}
        assert await client.closed() == 4401


async def test_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each op takes its scope; another's stream is not there."""
    async with served(monkeypatch) as url, socket(url, token=token("ann")) as ann:
        made = await ann.call("create", model="slow", prompt="x")
        async with socket(url, token=token("ben")) as ben:
            for op in ("attach", "cancel"):
                with pytest.raises(CallFailed, match="stream_not_found"):
                    await ben.call(op, stream=made["stream"])
        async with socket(url, token=token("ann", scope="")) as nothing:
            for op, fields in (
                ("create", {"model": "slow", "prompt": "x"}),
                ("attach", {"stream": made["stream"]}),
                ("cancel", {"stream": made["stream"]}),
                ("subscribe", {"topic": "a"}),
                ("publish", {"topic": "a", "data": 1}),
                ("presence", {"topic": "a"}),
            ):
                with pytest.raises(CallFailed, match="missing_scope"):
                    await nothing.call(op, **fields)


async def test_topic_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token's `topics_read` and `topics_write` narrow what it may follow and publish to."""
    async with served(monkeypatch) as url:
        narrow = token("ann", topics_read=["news", "team-*"], topics_write=[])
        async with socket(url, token=narrow) as client:
            await client.call("subscribe", topic="news")
            await client.call("subscribe", topic="team-a")
            for op, fields in (("subscribe", {}), ("presence", {}), ("publish", {"data": 1})):
                with pytest.raises(CallFailed, match="topic_forbidden"):
                    await client.call(op, topic="news2", **fields)
        status, _, body = await fetch(f"{url}/v1/topics/news/messages", "POST", {"data": 1}, bearer(narrow))
        assert (status, body["error"]["code"]) == (403, "topic_forbidden")


async def test_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection outlives its token: 4401."""
    async with served(monkeypatch) as url, socket(url, token=token(left=1)) as client:
        await client.call("create", model="slow", prompt="x", on_disconnect="cancel")
        assert await client.closed(within=5) == 4401


async def test_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new token of the same principal lets it go on, what it follows included."""
    async with served(monkeypatch) as url, socket(url, token=token(left=1)) as client:
        made = await client.call("create", model="slow", prompt="x")
        await client.call("auth", token=token())
        async with socket(url, token=token(left=1)) as other:
            assert await other.closed(within=5) == 4401
        assert await client.call("ping") == {}
        await client.call("cancel", stream=made["stream"])
        assert (await client.until("cancelled"))[-1]["data"]["by"] == "client"


async def test_a_narrower_token_ends_what_it_does_not_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    """A right that is withdrawn is withdrawn at once, presence too; what is still covered goes on."""
    async with served(monkeypatch) as url, socket(url, token=token()) as client, socket(url, token=token("ben")) as ben:
        made = await client.call("create", model="slow", prompt="x")
        other = await ben.call("create", model="slow", prompt="x", attach=False)
        for topic in ("news", "secret"):
            await client.call("subscribe", topic=topic)
        await client.call("auth", token=token(scope="generate subscribe cancel", topics_read=["news"]))
        sent_away = (await client.until("reconnect"))[-1]
        assert (sent_away["topic"], sent_away["data"]["reason"]) == ("secret", "token_expired")
        assert await ben.call("presence", topic="secret") == {"present": []}
        for topic in ("secret", "news"):
            await ben.call("publish", topic=topic, data=topic)
        seen = await client.until("message")
        assert seen[-1]["data"]["data"] == "news"
        # Whoever may generate still follows what it started.
        await client.call("cancel", stream=made["stream"])
        assert (await client.until("cancelled"))[-1]["stream"] == made["stream"]
        with pytest.raises(CallFailed, match="missing_scope"):
            await client.call("attach", stream=other["stream"])


async def test_a_narrower_token_ends_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `read` what was attached to ends, and without `admin` what is another's."""
    async with served(monkeypatch) as url, socket(url, token=token("ben")) as ben:
        theirs = await ben.call("create", model="slow", prompt="x", attach=False)
        async with socket(url, token=token("root", scope=f"{ALL} admin")) as client:
            own = await client.call("create", model="slow", prompt="x", attach=False)
            for stream in (own, theirs):
                await client.call("attach", stream=stream["stream"])
            await client.call("auth", token=token("root"))
            assert (await client.until("reconnect"))[-1]["stream"] == theirs["stream"]
            await client.call("auth", token=token("root", scope="publish"))
            assert (await client.until("reconnect"))[-1]["stream"] == own["stream"]


async def test_renewal_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection stays its principal's: the credentials of another close it with 4403."""
    async with served(monkeypatch) as url, socket(url, token=token("ann")) as client:
        with pytest.raises(CallFailed) as refused:
            await client.call("auth", token=token("ben"))
        assert (refused.value.code, refused.value.error["type"]) == ("another_principal", "permission_error")
        assert await client.closed() == 4403


async def test_share_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder of a share token follows its stream, and can do nothing else; a revoked one ends."""
    async with served(monkeypatch) as url, socket(url, token=token("ann")) as ann:
        made = await ann.call("create", model="slow", prompt="x")
        share = f"{url}/v1/streams/{made['stream']}/share"
        shared = (await fetch(share, "POST", None, bearer(token("ann"))))[2]["token"]
        async with socket(url, token=shared) as guest:
            await guest.call("attach", stream=made["stream"])
            assert (await guest.event())["type"] == "started"
            for op, fields in (("cancel", {"stream": made["stream"]}), ("publish", {"topic": "a", "data": 1})):
                with pytest.raises(CallFailed, match="missing_scope"):
                    await guest.call(op, **fields)
            assert (await fetch(share, "DELETE", None, bearer(token("ann"))))[0] == 204
            assert (await guest.until("reconnect"))[-1]["data"]["reason"] == "token_expired"
