"""Every route by every kind of credential. A route that is added needs a row here."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import get_args

import pytest
from api_kit import call, fetch

from tidegate.app import Tidegate
from tidegate.config import AuthSettings, LimitSettings, Settings
from tidegate.core.principal import Scope
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.gate.jwt.tokens import mint
from tidegate.providers.settings import ReplayModel
from tidegate.routes.table import ROUTES
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

SECRET = b"0123456789abcdef0123456789abcdef"
SECRET_ENV = "TIDEGATE_TEST_SECRET"
ALL = get_args(Scope)

# another: all scopes, but somebody else's. right: the owner's, with the route's scope alone; wrong: with all but that.
# /metrics is for whoever calls from this machine, as all do here; tests/routes/test_routes_metrics.py has the others.
# others-share: a share token of another stream. query, cookie: the right one, in these places.
TABLE = """
route                            none bad expired another right wrong admin share others-share revoked query cookie
POST /v1/streams                 401  401 401     202     202   403   403   404   404          401     401   202
GET /v1/streams                  401  401 401     200     200   403   200   404   404          401     401   200
GET /v1/streams/{id}             401  401 401     404     200   403   200   200   404          401     401   200
DELETE /v1/streams/{id}          401  401 401     404     204   403   204   403   404          401     401   204
GET /v1/streams/{id}/events      401  401 401     404     200   403   200   200   404          401     200   200
GET /v1/streams/{id}/readers     401  401 401     404     200   403   200   403   404          401     401   200
POST /v1/streams/{id}/append     401  401 401     404     409   403   403   403   404          401     401   409
POST /v1/streams/{id}/cancel     401  401 401     404     200   403   200   403   404          401     401   200
POST /v1/streams/{id}/share      401  401 401     404     200   403   200   403   404          401     401   200
DELETE /v1/streams/{id}/share    401  401 401     404     204   403   204   403   404          401     401   204
POST /v1/session                 401  401 401     401     401   401   401   401   401          401     401   401
DELETE /v1/session               204  204 204     204     204   204   204   204   204          204     204   204
POST /v1/chat/completions        401  401 401     200     200   403   403   404   404          401     401   200
GET /v1/models                   401  401 401     200     200   403   200   404   404          401     401   200
GET /v1/models/{id:path}         401  401 401     200     200   403   200   404   404          401     401   200
GET /v1/admin/connections        401  401 401     403     200   403   200   404   404          401     401   200
POST /v1/admin/connections/{id}/close 401 401 401 403     404   403   404   403   404          401     401   404
GET /v1/admin/streams            401  401 401     403     200   403   200   404   404          401     401   200
POST /v1/topics/{name}/messages  401  401 401     200     200   403   403   404   404          401     401   200
GET /v1/topics/{name}/events     401  401 401     200     200   403   403   404   404          401     200   200
GET /v1/topics/{name}/presence   401  401 401     200     200   403   403   404   404          401     401   200
GET /v1/ws                       426  426 426     426     426   426   426   426   426          426     426   426
GET /metrics                     200  200 200     200     200   200   200   200   200          200     200   200
POST /v1/probe                   401  401 401     200     200   403   403   404   404          401     401   200
GET /healthz                     200  200 200     200     200   200   200   200   200          200     200   200
GET /readyz                      200  200 200     200     200   200   200   200   200          200     200   200
GET /openapi.json                200  200 200     200     200   200   200   200   200          200     200   200
GET /docs                        200  200 200     200     200   200   200   200   200          200     200   200
GET /                            200  200 200     200     200   200   200   200   200          200     200   200
GET /s/{token}                   200  200 200     200     200   200   200   200   200          404     200   200
GET /room/{name}                 200  200 200     200     200   200   200   200   200          200     200   200
GET /web/{file}                  200  200 200     200     200   200   200   200   200          200     200   200
"""

BODIES = {
    "POST /v1/streams": {"model": "replay", "prompt": "x", "background": True},
    "POST /v1/streams/{id}/append": {"lease": "lease_x", "expected_offset": 1, "events": []},
    "POST /v1/topics/{name}/messages": {"data": 1},
    "POST /v1/session": {"token": "not one"},
    "POST /v1/chat/completions": {"model": "replay", "messages": [{"role": "user", "content": "x"}], "stream": True},
}


def rows() -> Iterator[tuple[str, str, int]]:
    head, *lines = TABLE.strip().splitlines()
    credentials = head.split()[1:]
    for line in lines:
        *route, cells = line.split(None, 2)
        for credential, status in zip(credentials, cells.split(), strict=True):
            yield " ".join(route), credential, int(status)


CASES = list(rows())


def test_every_route_has_a_row() -> None:
    """What each route answers to each kind of credential is decided, for all of them."""
    assert {route for route, _, _ in CASES} == {f"{route.method} {route.path}" for route in ROUTES}


def token(sub: str, scopes: tuple[str, ...], *, ttl: int = 3600) -> str:
    return mint(SECRET, sub=sub, scopes=scopes, ttl_seconds=ttl, issuer="", audience="", now=time.time())


@asynccontextmanager
async def gated() -> AsyncIterator[str]:
    """A server with keys and tokens, and a slow model whose answers last longer than a test."""
    settings = Settings(
        models=(ReplayModel(name="replay", rate=1),),
        auth=AuthSettings(
            keys=(ApiKey(name="other", sha256=key_sha256("tg_other"), scopes=ALL[:-1]),), jwt_secret_env=SECRET_ENV
        ),
        limits=LimitSettings(requests_per_minute=0, concurrent_generations=0),
    )
    async with AsyncExitStack() as stack:
        app = Tidegate(settings)
        stack.push_async_callback(app.close)
        yield await stack.enter_async_context(serving(app))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    os.environ[SECRET_ENV] = SECRET.decode()
    try:
        async with gated() as url:
            yield url
    finally:
        del os.environ[SECRET_ENV]


async def shared(url: str, stream: str) -> str:
    _, _, answer = await fetch(f"{url}/v1/streams/{stream}/share", "POST", None, bearer(token("owner", ("read",))))
    return answer["token"]


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


async def started(url: str) -> str:
    body = {"model": "replay", "prompt": "x", "background": True}
    _, _, answer = await fetch(f"{url}/v1/streams", "POST", body, bearer(token("owner", ("generate",))))
    return answer["id"]


def right_and_wrong(route: str) -> tuple[str, str]:
    found = next(each for each in ROUTES if f"{each.method} {each.path}" == route)
    scope = found.scope or "read"
    others = tuple(name for name in ALL if name not in (scope, *found.or_scopes, "admin"))
    return token("owner", (scope,)), token("owner", others)


async def headers_and_query(url: str, route: str, stream: str, credential: str) -> tuple[dict[str, str], str, str]:
    """What a request presents in its headers and in its query, and the share token that is meant."""
    share = await shared(url, stream)
    right, wrong = right_and_wrong(route)
    match credential:
        case "none":
            return {}, "", share
        case "query":
            return {}, f"?access_token={right}", share
        case "cookie":
            return {"cookie": f"tidegate_token={right}"}, "", share
        case "others-share":
            return bearer(await shared(url, await started(url))), "", share
        case "revoked":
            status, _, _ = await fetch(
                f"{url}/v1/streams/{stream}/share", "DELETE", None, bearer(token("owner", ("read",)))
            )
            assert status == 204
            return bearer(share), "", share
    given = {
        "bad": "tg_nobody",
        "expired": token("owner", ALL, ttl=-3600),
        "another": "tg_other",
        "right": right,
        "wrong": wrong,
        "admin": token("ops", ("admin",)),
        "share": share,
    }
    return bearer(given[credential]), "", share


@pytest.mark.parametrize(("route", "credential", "status"), CASES, ids=lambda value: str(value))
async def test_route(url: str, route: str, credential: str, status: int) -> None:
    """Each route answers each credential as the table says; what is refused says why, in the shape of every error."""
    method, path = route.split(" ")
    stream = await started(url)
    headers, query, share = await headers_and_query(url, route, stream, credential)
    values = {"{id}": stream, "{id:path}": "replay", "{token}": share, "{file}": "chat.js", "{name}": "a"}
    target = path
    for placeholder, value in values.items():
        target = target.replace(placeholder, value)
    async with call(url + target + query, method, BODIES.get(route), headers) as answer:
        assert answer.status == status
        assert answer.headers["x-request-id"]
        if status in (401, 403, 404) and path != "/s/{token}":
            error = (await answer.json())["error"]
            codes = {
                401: ("invalid_credentials", "token_expired"),
                403: ("missing_scope",),
                404: ("stream_not_found", "not_found"),
            }
            assert error["code"] in codes[status]
            assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_admin_includes_reading_and_cancelling(url: str) -> None:
    """To whoever holds `admin` others' streams are there, and can be stopped; models are listed by readers, too."""
    stream = await started(url)
    assert (await fetch(f"{url}/v1/models", "GET", None, bearer(token("reader", ("read",)))))[0] == 200
    ops = bearer(token("ops", ("admin",)))
    assert (await fetch(f"{url}/v1/streams/{stream}", "GET", None, ops))[0] == 200
    assert (await fetch(f"{url}/v1/streams/{stream}/cancel", "POST", None, ops))[2]["status"] == "cancelled"
