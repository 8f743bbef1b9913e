from __future__ import annotations

from typing import Any

import pytest

from tidegate.errors import Unauthenticated
from tidegate.gate.credentials import presented


def request(*headers: tuple[bytes, bytes], query: bytes = b"") -> dict[str, Any]:
    return {"headers": list(headers), "query_string": query}


def bearer(value: bytes) -> tuple[bytes, bytes]:
    return (b"authorization", value)


def everywhere(scope: dict[str, Any], *, strict: bool = True) -> str | None:
    return presented(scope, allow_query=True, allow_cookie=True, strict=strict)


@pytest.mark.parametrize("value", [b"Bearer tg_ci", b"bearer tg_ci", b"BEARER  tg_ci "])
def test_bearer(value: bytes) -> None:
    """The scheme is taken in any case, and white space around the token is not part of it (RFC 9110, 11.1)."""
    assert everywhere(request(bearer(value))) == "tg_ci"


MALFORMED = [[b""], [b"Bearer"], [b"Bearer "], [b"tg_ci"], [b"Basic tg_ci"], [b"Bearer tg_ci", b"Bearer tg_ci"]]


@pytest.mark.parametrize("values", MALFORMED)
def test_malformed_header(values: list[bytes]) -> None:
    """A header that is malformed or doubled is refused without being repeated, whatever else was sent."""
    scope = request(*(bearer(value) for value in values), query=b"access_token=tg_q")
    with pytest.raises(Unauthenticated) as refused:
        everywhere(scope)
    assert "tg_" not in refused.value.message


@pytest.mark.parametrize("values", MALFORMED)
def test_malformed_header_where_none_is_needed(values: list[bytes]) -> None:
    """Where it need not be strict, such a header is as if it had not been sent."""
    scope = request(*(bearer(value) for value in values), query=b"access_token=tg_q")
    assert everywhere(scope, strict=False) == "tg_q"
    assert everywhere(request(bearer(b"Bearer tg_ci")), strict=False) == "tg_ci"


def test_query() -> None:
    """Where the route allows it the token may come as `access_token`; elsewhere that counts for nothing."""
    scope = request(query=b"after=1-2&access_token=tg%5Fci")
    assert everywhere(scope) == "tg_ci"
    assert presented(scope, allow_query=False, allow_cookie=True, strict=True) is None


@pytest.mark.parametrize("query", [b"access_token=", b"access_token", b"xaccess_token=a", b"\xff=%ff"])
def test_no_query(query: bytes) -> None:
    """An empty token is none."""
    assert everywhere(request(query=query)) is None


@pytest.mark.parametrize("cookie", [b"tidegate_token=tg_ci", b"a=b;tidegate_token=tg_ci", b"tidegate_token=tg_ci; c"])
def test_cookie(cookie: bytes) -> None:
    """The cookie of the server's own pages is taken, among whatever else the browser sends."""
    scope = request((b"cookie", cookie))
    assert everywhere(scope) == "tg_ci"
    assert presented(scope, allow_query=True, allow_cookie=False, strict=True) is None


def test_split_cookies() -> None:
    """HTTP/2 may send each pair as a field of its own."""
    assert everywhere(request((b"cookie", b"a=b"), (b"cookie", b"tidegate_token=tg_ci"))) == "tg_ci"


@pytest.mark.parametrize(
    "cookie", [b"", b"tidegate_token", b"tidegate_token=", b"xtidegate_token=a", b"a=tidegate_token"]
)
def test_no_cookie(cookie: bytes) -> None:
    """Other cookies are none of ours."""
    assert everywhere(request((b"cookie", cookie))) is None


@pytest.mark.parametrize(
    ("site", "counts"), [(b"same-origin", True), (b"none", True), (b"same-site", False), (b"cross-site", False)]
)
def test_cookie_from_elsewhere(site: bytes, counts: bool) -> None:
    """A cookie that the browser sends along with another site's request counts for nothing."""
    scope = request((b"cookie", b"tidegate_token=tg_ci"), (b"sec-fetch-site", site))
    assert (everywhere(scope) == "tg_ci") is counts


def test_order() -> None:
    """A header comes before the query, and that before the cookie."""
    cookie = (b"cookie", b"tidegate_token=c")
    assert everywhere(request(bearer(b"Bearer h"), cookie, query=b"access_token=q")) == "h"
    assert everywhere(request(cookie, query=b"access_token=q")) == "q"
