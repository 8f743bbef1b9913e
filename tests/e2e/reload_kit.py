"""A server whose models and keys change while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from api_kit import fetch

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import AuthSettings, Settings
from tidegate.core.events import GenerationRequest
from tidegate.core.principal import Scope
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.providers.settings import ModelSettings, ReplayModel
from tidegate.stores.base import Store
from tidegate.testing.server import serving

ALL: tuple[Scope, ...] = ("generate", "read", "cancel", "publish", "subscribe")
BODY = {"model": "m", "prompt": "x", "stream": True, "on_disconnect": "cancel"}
REPLAY = ReplayModel(name="replay", rate=0, tokens=3)


def key(name: str, secret: str, scopes: tuple[Scope, ...] = ALL) -> ApiKey:
    return ApiKey(name=name, sha256=key_sha256(secret), scopes=scopes)


def settings(*keys: ApiKey, models: tuple[ModelSettings, ...] = (REPLAY,)) -> Settings:
    return msgspec.structs.replace(EMBEDDED, models=models, auth=AuthSettings(keys=keys))


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


class Server:
    """An application whose model `m` says "a", and the rest once it may."""

    def __init__(self, *keys: ApiKey, store: Store | None = None) -> None:
        self.may_end = asyncio.Event()
        self.app = Tidegate(settings(*keys), models={"m": self.answer}, store=store)
        self.url = ""

    async def answer(self, request: GenerationRequest) -> AsyncIterator[str]:
        yield "a"
        await self.may_end.wait()
        yield "b"

    async def status(self, stream: str, secret: str) -> str:
        return (await fetch(f"{self.url}/v1/streams/{stream}", headers=bearer(secret)))[2]["status"]


@asynccontextmanager
async def served(*keys: ApiKey, store: Store | None = None) -> AsyncGenerator[Server]:
    server = Server(*keys, store=store)
    async with serving(server.app) as server.url:
        yield server
    await server.app.close()
