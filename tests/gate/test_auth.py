from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidegate.core.principal import ANONYMOUS, Principal
from tidegate.errors import Forbidden, Unauthenticated
from tidegate.gate.auth import ApiKey, Authenticator, key_sha256, require

KEYS = [
    ApiKey(name="ci", sha256=key_sha256("tg_ci"), scopes=("generate", "read")),
    ApiKey(name="ops", sha256=key_sha256("tg_ops").upper(), scopes=("admin",)),
    ApiKey(name="none", sha256=key_sha256("tg_none")),
]


def request(*authorization: bytes, query: bytes = b"") -> dict[str, Any]:
    return {"headers": [(b"authorization", value) for value in authorization], "query_string": query}


@pytest.mark.parametrize("authorization", [b"Bearer tg_ci", b"bearer tg_ci", b"BEARER  tg_ci "])
def test_bearer(authorization: bytes) -> None:
    """A key is known by its hash alone, and brings its name and scopes."""
    principal = Authenticator(KEYS).authenticate(request(authorization), allow_query=False)
    assert principal == Principal("key:ci", frozenset({"generate", "read"}))


def test_every_key() -> None:
    """Any of the keys will do; one without scopes may do nothing."""
    authenticator = Authenticator(KEYS)
    assert authenticator.authenticate(request(b"Bearer tg_ops"), allow_query=False).name == "key:ops"
    assert authenticator.authenticate(request(b"Bearer tg_none"), allow_query=False).scopes == frozenset()


@pytest.mark.parametrize(
    "authorization",
    [[], [b""], [b"Bearer"], [b"Bearer "], [b"tg_ci"], [b"Basic tg_ci"], [b"Bearer tg_cI"], [b"Bearer tg_ci x"],
     [b"Bearer \xff"], [b"Bearer tg_ci", b"Bearer tg_ci"]],
)  # fmt: skip
def test_refused(authorization: list[bytes]) -> None:
    """Missing, malformed, doubled or wrong credentials are refused, and never repeated in the error."""
    with pytest.raises(Unauthenticated) as refused:
        Authenticator(KEYS).authenticate(request(*authorization), allow_query=True)
    assert "tg_" not in refused.value.message


def test_query() -> None:
    """Where the route allows it, the key may come as `access_token`; elsewhere it counts for nothing."""
    authenticator = Authenticator(KEYS)
    with_token = request(query=b"after=1-2&access_token=tg%5Fci")
    assert authenticator.authenticate(with_token, allow_query=True).name == "key:ci"
    with pytest.raises(Unauthenticated):
        authenticator.authenticate(with_token, allow_query=False)


@pytest.mark.parametrize(
    "query", [b"access_token=tg_c", b"access_token=", b"access_token", b"\xff=%ff&access_token=%ff"]
)
def test_wrong_query(query: bytes) -> None:
    """A wrong token in the query is refused without being repeated."""
    with pytest.raises(Unauthenticated) as refused:
        Authenticator(KEYS).authenticate(request(query=query), allow_query=True)
    assert "tg_" not in refused.value.message


def test_header_before_query() -> None:
    """A header decides, whatever the query says."""
    with pytest.raises(Unauthenticated):
        Authenticator(KEYS).authenticate(request(b"Bearer no", query=b"access_token=tg_ci"), allow_query=True)


def test_no_keys() -> None:
    """Without keys everyone is anonymous, also those who send one: OpenAI's clients always do."""
    assert Authenticator([]).authenticate(request(b"Bearer sk-x"), allow_query=False) is ANONYMOUS


def test_require() -> None:
    """What the scopes do not cover is refused by the scope's name."""
    principal = Principal("key:ci", frozenset({"read"}))
    require(principal, "read")
    with pytest.raises(Forbidden, match="'generate'"):
        require(principal, "generate")


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "a b", "sha256": "0" * 64},
        {"name": "a", "sha256": "0" * 63},
        {"name": "a", "sha256": "0" * 64, "scopes": ["write"]},
        {"name": "a", "sha256": "0" * 64, "key": "x"},
    ],
)
def test_bad_entries(entry: dict[str, Any]) -> None:
    """An entry that could never match, or says what nobody understands, is refused with the configuration."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(entry, ApiKey)
