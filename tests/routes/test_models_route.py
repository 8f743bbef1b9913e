from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from routes_kit import client_of, code_of

from tidegate import Tidegate

pytestmark = pytest.mark.anyio


async def answer(_: object) -> AsyncIterator[str]:
    yield "a"


MODELS = {"tide": answer, "team/agent": answer, "ebb": answer}


async def test_models_are_listed_in_their_order() -> None:
    """In OpenAI's shape; the first is the one that a page offers."""
    async with client_of(Tidegate(models=MODELS)) as client:
        listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [(model["id"], model["object"]) for model in listed["data"]] == [(name, "model") for name in MODELS]


@pytest.mark.parametrize("path", ["tide", "team/agent", "team%2Fagent"])
async def test_a_model_is_found_by_its_name(path: str) -> None:
    """Its slashes may be encoded, as OpenAI's clients do."""
    async with client_of(Tidegate(models=MODELS)) as client:
        found = (await client.get(f"/v1/models/{path}")).json()
    assert found["id"] == path.replace("%2F", "/")


async def test_a_model_that_is_not_there() -> None:
    """It is a typed 404."""
    async with client_of(Tidegate(models=MODELS)) as client:
        assert code_of(await client.get("/v1/models/team")) == (404, "model_not_found")
