from __future__ import annotations

from typing import Any

import pytest

from tidegate.errors import OriginNotAllowed
from tidegate.gate.origin import OriginMiddleware, Origins

pytestmark = pytest.mark.anyio

LISTED = ("https://App.example.org", "https://*.example.net", "http://dev.test:80", "https://*.test:8443")
PUBLIC = "https://app.example.com:443/llm"


def scope(host: str | None = "localhost:8000", *, scheme: str = "http", site: str | None = None) -> dict[str, Any]:
    fields = [("host", host), ("sec-fetch-site", site)]
    headers = [(name.encode(), value.encode()) for name, value in fields if value is not None]
    return {"type": "http", "scheme": scheme, "headers": headers}


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://localhost:8000", "localhost:8000", "http"),
        ("http://localhost:8000", "LOCALHOST:8000", "http"),
        ("http://h", "h", "http"),
        ("http://h", "h:80", "http"),
        ("HTTP://H:80", "h", "http"),
        ("https://h", "h:443", "https"),
        ("https://h:8443", "h:8443", "https"),
        ("https://h", "h", "http"),
        ("http://[::1]:8000", "[::1]:8000", "http"),
        ("http://h", "h", "ws"),
        ("https://h", "h", "wss"),
        ("https://h", "h", "ws"),
        ("https://app.example.com", "127.0.0.1:8000", "http"),
    ],
)
def test_own(origin: str, host: str, scheme: str) -> None:
    """Pages of the server itself, by the name that they used or the public one, may use it; also with TLS in front."""
    origins = Origins((), PUBLIC)
    assert origins.is_own(origin, scope(host, scheme=scheme))
    assert origins.allows(origin, scope(host, scheme=scheme))


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://localhost:3000", "localhost:8000", "http"),
        ("http://127.0.0.1:8000", "localhost:8000", "http"),
        ("http://h:443", "h", "https"),
        ("http://h", "h", "https"),
        ("http://h", "h", "wss"),
        ("http://h.evil.com", "h", "http"),
        ("http://evil.com/h", "h", "http"),
        ("https://app.example.com.evil.com", "h", "http"),
        ("https://app.example.com:8443", "h", "http"),
        ("http://app.example.com", "h", "http"),
        ("null", "h", "http"),
        ("", "h", "http"),
        ("http://h", None, "http"),
        ("http://", None, "http"),
    ],
)
@pytest.mark.parametrize("site", [None, "cross-site", "same-site", "none"])
def test_other(origin: str, host: str | None, scheme: str, site: str | None) -> None:
    """Those of another name, port or scheme may not, and neither may those without an origin."""
    assert not Origins((), PUBLIC).allows(origin, scope(host, scheme=scheme, site=site))


def test_nothing_public() -> None:
    """Without a public URL the empty origin is not the server's."""
    assert not Origins((), "").is_own("", scope())


@pytest.mark.parametrize("origin", ["https://chat.example.com", "null"])
def test_own_to_the_browser(origin: str) -> None:
    """A page is the server's own where its browser says so, whatever a proxy made of Host."""
    assert Origins((), "").is_own(origin, scope("127.0.0.1:8000", site="same-origin"))


@pytest.mark.parametrize(
    ("origin", "listed"),
    [
        ("https://app.example.org", True),
        ("https://APP.example.org:443", True),
        ("http://app.example.org", False),
        ("https://app.example.org:8443", False),
        ("http://dev.test", True),
        ("https://a.example.net", True),
        ("https://a.b.example.net", True),
        ("https://example.net", False),
        ("http://a.example.net", False),
        ("https://a.example.net:8443", False),
        ("https://aexample.net", False),
        ("https://a.example.net.evil.com", False),
        ("https://evil.com/.example.net", False),
        ("https://evil.com#.example.net", False),
        ("https://a.test:8443", True),
        ("https://a.test", False),
        ("https://*.example.net", False),
        ("null", False),
        ("*", False),
    ],
)
def test_listed(origin: str, listed: bool) -> None:
    """Origins are compared as a whole, but for the names below one that is listed so."""
    origins = Origins(LISTED, "")
    assert origins.lists(origin) is listed
    assert origins.allows(origin, scope()) is listed


def test_any() -> None:
    """With `*` every page may use the server, also one without an origin."""
    assert Origins(("*",), "").any
    assert all(Origins(("*",), "").allows(origin, scope()) for origin in ("https://evil.com", "null"))


def test_whether_any_is_listed() -> None:
    """The server's own origin is no listed one."""
    assert [bool(Origins(listed, PUBLIC)) for listed in [(), ("*",), ("https://a.b",), ("https://*.b",)]] == [
        False,
        True,
        True,
        True,
    ]


async def reached(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


APP = OriginMiddleware(reached, origins=Origins(LISTED, ""))
HOST = (b"host", b"localhost:8000")
EVIL = (b"origin", b"https://evil.com")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "post", "X"])
async def test_another_site_changes_nothing(exchange: Any, method: str) -> None:
    """What could change anything is refused before it is looked at."""
    with pytest.raises(OriginNotAllowed, match=r"evil\.com"):
        await exchange(APP, [HOST, EVIL], method=method)


@pytest.mark.parametrize("origins", [[EVIL, (b"origin", b"http://localhost:8000")], [(b"origin", b"null")]])
async def test_no_honest_origin(exchange: Any, origins: list[tuple[bytes, bytes]]) -> None:
    """Neither does `null`, nor the server's own origin beside another."""
    with pytest.raises(OriginNotAllowed):
        await exchange(APP, [HOST, *origins], method="POST")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_reading(exchange: Any, method: str) -> None:
    """What only reads is let through: the browser keeps the answer from the page."""
    assert (await exchange(APP, [HOST, EVIL], method=method)).status == 200


@pytest.mark.parametrize("origin", [None, b"http://localhost:8000", b"https://app.example.org"])
async def test_who_may(exchange: Any, origin: bytes | None) -> None:
    """Programs, the server's own pages and those of listed origins may start and cancel."""
    headers = [HOST] if origin is None else [HOST, (b"origin", origin)]
    assert (await exchange(APP, headers, method="POST")).status == 200


async def test_no_request_passes() -> None:
    """What is no HTTP request passes untouched."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    await OriginMiddleware(app, origins=Origins((), ""))({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
