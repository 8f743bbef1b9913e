from __future__ import annotations

import msgspec
import pytest
from routes_kit import client_of, code_of

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import AuthSettings
from tidegate.gate.api_keys import ApiKey, key_sha256

pytestmark = pytest.mark.anyio


def guarded() -> Tidegate:
    keys = (ApiKey(name="ci", sha256=key_sha256("tg_ci"), scopes=("read",)),)
    return Tidegate(msgspec.structs.replace(EMBEDDED, auth=AuthSettings(keys=keys)))


async def test_a_session_is_its_cookie() -> None:
    """Who has it needs no other credential, and who has given it back does."""
    async with client_of(guarded()) as client:
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.post("/v1/session", json={"token": "tg_ci"})).status_code == 204
        assert (await client.get("/v1/models")).status_code == 200
        assert (await client.delete("/v1/session")).status_code == 204
        assert (await client.get("/v1/models")).status_code == 401


async def test_no_script_reads_the_cookie() -> None:
    """And no other site sends it."""
    async with client_of(guarded()) as client:
        cookie = (await client.post("/v1/session", json={"token": "tg_ci"})).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))


@pytest.mark.parametrize(("body", "status"), [({"token": "no"}, 401), ({"token": ""}, 400), ({}, 400)])
async def test_what_is_no_credential_begins_nothing(body: object, status: int) -> None:
    """Nothing is set."""
    async with client_of(guarded()) as client:
        refused = await client.post("/v1/session", json=body)
    assert code_of(refused)[0] == status
    assert "set-cookie" not in refused.headers
