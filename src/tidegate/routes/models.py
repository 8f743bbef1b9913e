"""The calls that list models."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidegate.routes.call import Call


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model in OpenAI's shape. Nobody knows when it was made: `created` is 0."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "tidegate"


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[ModelEntry]


async def get_model(call: Call) -> None:
    """Answers with one model; a name may have slashes in it."""
    name = call.params["id"]
    call.service.model(name)
    await call.answer_json(ModelEntry(id=name))


async def list_models(call: Call) -> None:
    """Answers with the names that requests may use, in the order of the configuration."""
    await call.answer_json(ModelList(data=[ModelEntry(id=name) for name in call.service.models]))
