from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec
import pytest
from clock_kit import Clock
from starlette.types import Receive, Send

from tidegate.core.bucket import Buckets
from tidegate.core.principal import NOBODY, Principal, Scope
from tidegate.core.sse import Decoder
from tidegate.errors import (
    Forbidden,
    IssuerUnavailable,
    RateLimited,
    StoreUnavailable,
    StreamNotFound,
    Unauthenticated,
    Unavailable,
)
from tidegate.gate.api_keys import ApiKey, ApiKeys, key_sha256
from tidegate.gate.auth import Authenticator, AuthMiddleware, require
from tidegate.gate.jwt.tokens import Tokens, mint
from tidegate.gate.origin import Origins
from tidegate.gate.route_policy import PRINCIPAL, ROUTE

pytestmark = pytest.mark.anyio

SECRET = b"s" * 32
GUEST = Principal("share:1", frozenset({"read"}), "", "gen_1", 99.0)


class Shares:
    def is_one(self, text: str) -> bool:
        return text.startswith("share_")

    async def holder(self, token: str) -> Principal | None:
        if token == "share_down":
            raise StoreUnavailable("down")
        return GUEST if token == "share_1" else None


class Down:
    """The tokens of an issuer that cannot be reached."""

    def check(self, token: str, account: str) -> Principal:
        raise IssuerUnavailable("down")


class RoutePolicy(msgspec.Struct, frozen=True):
    scope: Scope | None = "read"
    events: bool = False
    shared: bool = False
    limited: bool = True
    or_scopes: tuple[Scope, ...] = ()
    local: bool = False


def authenticator(*, keys: bool = True, tokens: bool = False, **more: Any) -> Authenticator:
    known = [ApiKey(name="ci", sha256=key_sha256("tg_ci"), scopes=("read",))]
    jwts = Tokens(secret=SECRET, keys=None, issuer="", audience="", now=lambda: 1000) if tokens else None
    return Authenticator(ApiKeys(known if keys else []), jwts, Shares(), Origins((), ""), **more)


def request(token: str | None = None, **more: Any) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    return {"headers": headers, "query_string": b"", "scheme": "http", "client": ("192.0.2.1", 1), **more}


async def who(by: Authenticator, scope: dict[str, Any]) -> Principal:
    found = by.authenticate(scope, allow_query=False)
    return await found if isinstance(found, Awaitable) else found


async def test_key() -> None:
    """An API key is its holder's, found without waiting for anything."""
    found = authenticator().authenticate(request("tg_ci"), allow_query=False)
    assert isinstance(found, Principal)
    assert found.name == "key:ci"


async def test_token_beside_keys() -> None:
    """Where both are configured, either will do."""
    by = authenticator(tokens=True)
    token = mint(SECRET, sub="ann", scopes=["read"], ttl_seconds=60, issuer="", audience="", now=1000)
    assert (await who(by, request(token))).name == "jwt::ann"
    assert (await who(by, request("tg_ci"))).name == "key:ci"


@pytest.mark.parametrize("token", [None, "tg_c", "a.b.c", "share_2"])
async def test_refused(token: str | None) -> None:
    """Missing and wrong credentials are refused, and never repeated."""
    with pytest.raises(Unauthenticated) as refused:
        await who(authenticator(tokens=True), request(token))
    assert token is None or token not in refused.value.message


async def test_no_authentication() -> None:
    """Without keys and tokens everyone is anonymous, whatever they send, and counted by address."""
    by = authenticator(keys=False)
    for token in (None, "sk-x", "a.b.c"):
        found = await who(by, request(token))
        assert (found.name, found.account, found.has("admin")) == ("anonymous", "address:192.0.2.1", True)


@pytest.mark.parametrize("header", [b"Basic dTpw", b"Bearer ", b"Bearer", b""])
async def test_no_authentication_and_a_header_of_others(header: bytes) -> None:
    """Where nobody needs credentials, those for a proxy in front and an empty key hinder nobody."""
    found = await who(authenticator(keys=False), request(headers=[(b"authorization", header)]))
    assert found.name == "anonymous"
    with pytest.raises(Unauthenticated):
        await who(authenticator(), request(headers=[(b"authorization", header)]))


def test_presents() -> None:
    """A handshake presents credentials also where they are malformed."""
    by = authenticator()
    assert by.presents(request("tg_ci"))
    assert by.presents(request(headers=[(b"authorization", b"Basic dTpw")]))
    assert by.presents(request(subprotocols=["tidegate.v1", "bearer.tg_ci"]))
    assert not by.presents(request())


@pytest.mark.parametrize("keys", [True, False])
async def test_share_token(keys: bool) -> None:
    """The holder of a share token is a guest, also where nobody needs credentials; each is counted by address."""
    by = authenticator(keys=keys)
    found = await who(by, request("share_1"))
    assert (found.name, found.stream, found.account, found.expires_at) == ("share:1", "gen_1", "address:192.0.2.1", 99)
    with pytest.raises(Unauthenticated):
        await who(by, request("share_2"))


async def test_cookie_of_another_site() -> None:
    """A cookie counts only in requests of the server's own pages."""
    cookie, own, other = (b"cookie", b"tidegate_token=tg_ci"), (b"origin", b"http://h"), (b"origin", b"http://evil")
    host = (b"host", b"h")
    assert (await who(authenticator(), request(headers=[host, cookie, own]))).name == "key:ci"
    with pytest.raises(Unauthenticated):
        await who(authenticator(), request(headers=[host, cookie, other]))


READ = Principal("key:a", frozenset({"read"}), "key:a")


@pytest.mark.parametrize(
    ("principal", "route", "stream", "error"),
    [
        (READ, RoutePolicy("read"), "gen_1", None),
        (READ, RoutePolicy("read"), None, None),
        (READ, RoutePolicy("generate"), None, Forbidden),
        (READ, RoutePolicy("generate", or_scopes=("read",)), None, None),
        (GUEST, RoutePolicy("read", shared=True), "gen_1", None),
        (GUEST, RoutePolicy("read"), "gen_1", Forbidden),
        (GUEST, RoutePolicy("cancel"), "gen_1", Forbidden),
        (GUEST, RoutePolicy("read", shared=True), "gen_2", StreamNotFound),
        (GUEST, RoutePolicy("generate"), None, StreamNotFound),
    ],
)
def test_require(principal: Principal, route: RoutePolicy, stream: str | None, error: type[Exception] | None) -> None:
    """Scopes decide; to a guest there is nothing but its stream, and that only to be read."""
    if error is None:
        require(principal, route, stream)
    else:
        with pytest.raises(error):
            require(principal, route, stream)


def guarded_by(by: Authenticator, route: RoutePolicy) -> Any:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    inner = AuthMiddleware(app, authenticator=by)

    async def routed(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scope[ROUTE] = route
        await inner(scope, receive, send)

    return routed


@pytest.mark.parametrize("token", ["tg_ci", "share_1"])
async def test_middleware(exchange: Any, token: str) -> None:
    """The caller of a guarded route is in the scope, found at once or looked up."""
    app = guarded_by(authenticator(), RoutePolicy("read", shared=True))
    if token == "share_1":
        with pytest.raises(StreamNotFound):
            await exchange(app, [(b"authorization", f"Bearer {token}".encode())])
    else:
        await exchange(app, [(b"authorization", f"Bearer {token}".encode())])
        assert exchange.scope[PRINCIPAL].name == "key:ci"


async def test_open_route(exchange: Any) -> None:
    """A route that is open to all asks for nothing, and does not look at what is sent."""
    await exchange(guarded_by(authenticator(), RoutePolicy(None)), [(b"authorization", b"nonsense")])
    assert exchange.scope[PRINCIPAL] is NOBODY


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token}".encode())]


async def refusal(exchange: Any, app: Any, headers: list[tuple[bytes, bytes]]) -> Exception:
    with pytest.raises((Unauthenticated, RateLimited)) as refused:
        await exchange(app, headers)
    return refused.value


@pytest.mark.parametrize("headers", [bearer("tg_wrong"), bearer("share_2"), [], [(b"authorization", b"Basic dTpw")]])
async def test_failures_are_limited(exchange: Any, headers: list[tuple[bytes, bytes]]) -> None:
    """Credentials that are wrong, revoked, missing or malformed: as many as requests may be made, then 429."""
    clock = Clock()
    app = guarded_by(authenticator(failures=Buckets(0.5, 2), clock=clock), RoutePolicy("read"))
    errors = [await refusal(exchange, app, headers) for _ in range(4)]
    assert [type(error) for error in errors] == [Unauthenticated, Unauthenticated, RateLimited, RateLimited]
    assert errors[-1].retry_after == 2  # type: ignore[attr-defined]
    clock.now = 2
    assert type(await refusal(exchange, app, headers)) is Unauthenticated


async def test_failures_of_others(exchange: Any) -> None:
    """Valid credentials are never refused for failures, though they come from the same address; nor do they count."""
    app = guarded_by(authenticator(failures=Buckets(1, 1), clock=Clock()), RoutePolicy("read"))
    for _ in range(3):
        await exchange(app, bearer("tg_ci"))
    for _ in range(3):
        await refusal(exchange, app, bearer("tg_wrong"))
    await exchange(app, bearer("tg_ci"))
    assert exchange.status == 200


async def test_failures_by_address() -> None:
    """One address's failures are not another's."""
    by = authenticator(failures=Buckets(1, 1), clock=Clock())
    by.failed("address:192.0.2.1")
    with pytest.raises(RateLimited):
        by.failed("address:192.0.2.1")
    by.failed("address:192.0.2.2")


async def test_no_limit_of_failures() -> None:
    """Where requests are not limited, failures are not either."""
    by = authenticator()
    for _ in range(1000):
        by.failed("address:192.0.2.1")


@pytest.mark.parametrize("token", ["a.b.c", "share_down"])
async def test_nobody_can_tell(exchange: Any, token: str) -> None:
    """While the issuer, or the store, is down an `EventSource` is told to come back; others get the error."""
    by = Authenticator(ApiKeys([]), Down(), Shares(), Origins((), ""))  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await exchange(guarded_by(by, RoutePolicy("read")), bearer(token))
    await exchange(guarded_by(by, RoutePolicy("read", events=True)), bearer(token))
    assert exchange.status == 200
    assert [event.event for event in Decoder().feed(exchange.body)] == ["reconnect"]


async def test_failures_of_an_event_source(exchange: Any) -> None:
    """An `EventSource` with wrong credentials gives up on 401; one too many, it has to come back for that."""
    app = guarded_by(authenticator(failures=Buckets(1, 1), clock=Clock()), RoutePolicy("read", events=True))
    with pytest.raises(Unauthenticated):
        await exchange(app, bearer("tg_wrong"))
    await exchange(app, bearer("tg_wrong"))
    assert [event.event for event in Decoder().feed(exchange.body)] == ["reconnect"]
