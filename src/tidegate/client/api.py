"""The calls that are answered at once, as coroutines. What both faces have in common."""

from __future__ import annotations

import builtins
from typing import Any

import msgspec

from tidegate.client import paths
from tidegate.client.calls import Calls, new_key

Table = dict[str, Any]


class _Published(msgspec.Struct):
    cursor: str


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class Api:
    """Every one of these calls may be repeated, so that a lost answer does no harm."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    async def read(self, id: str) -> Table:
        return await self.calls.value(Table, "GET", paths.stream(id))

    async def list(self, limit: int | None, before: str | None, status: str | None) -> Table:
        query = {"limit": limit, "before": before, "status": status}
        return await self.calls.value(Table, "GET", paths.STREAMS, query=query)

    async def cancel(self, id: str, reason: str | None) -> Table:
        return await self.calls.value(Table, "POST", paths.stream(id, "/cancel"), _given(reason=reason))

    async def delete(self, id: str) -> None:
        await self.calls.delete(paths.stream(id))

    async def share(self, id: str, ttl: int | None) -> Table:
        return await self.calls.value(Table, "POST", paths.stream(id, "/share"), _given(ttl_seconds=ttl))

    async def unshare(self, id: str) -> None:
        await self.calls.delete(paths.stream(id, "/share"))

    async def publish(self, topic: str, data: object, type: str | None, state: bool, key: str | None) -> str:
        body = {"data": data, **_given(type=type, state=state or None)}
        answer = await self.calls.value(
            _Published, "POST", paths.topic(topic, "/messages"), body, key=new_key() if key is None else key
        )
        return answer.cursor

    async def presence(self, topic: str) -> builtins.list[Table]:
        return await self.calls.value(builtins.list[Table], "GET", paths.topic(topic, "/presence"))

    async def models(self) -> builtins.list[str]:
        return [model.id for model in (await self.calls.value(_Models, "GET", "/v1/models")).data]


def _given(**members: object) -> Table:
    """Those that are not None: the server has defaults for the others."""
    return {name: value for name, value in members.items() if value is not None}
