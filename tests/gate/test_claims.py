from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.principal import Principal
from tidegate.errors import TokenExpired, Unauthenticated
from tidegate.gate.jwt.claims import LEEWAY_SECONDS, Expected, principal_of

NOW = 1_800_000_000.0
ANY = Expected("", "")
OURS = Expected("https://auth.example.com/", "tidegate")
NAMED = {"iss": OURS.issuer, "aud": OURS.audience}


def bearer(expected: Expected = ANY, **claims: Any) -> Principal:
    payload = {"sub": "anna", "exp": NOW + 60, **claims}
    given = {name: value for name, value in payload.items() if value is not ...}
    return principal_of(msgspec.json.encode(given), expected, NOW)


def test_principal() -> None:
    """A bearer is named by issuer and subject, and leaves once the token and the leeway are over."""
    assert bearer(iss="https://a", scope="read") == Principal(
        "jwt:https://a:anna", frozenset({"read"}), "jwt:https://a:anna", expires_at=NOW + 60 + LEEWAY_SECONDS
    )
    assert bearer().name == "jwt::anna"


@given(st.text("a:%253A"), st.text("a:%253A", min_size=1))
def test_names_of_any_issuer(iss: str, sub: str) -> None:
    """Where any issuer will do, a name has one issuer and one subject: whoever calls somebody so cannot be another."""
    named, _, subject = bearer(iss=iss, sub=sub).name.removeprefix("jwt:").rpartition(":")
    assert (named, unquote(subject)) == (iss, sub)


def test_names_of_one_issuer() -> None:
    """Where the issuer is configured, a subject is named as it is; of any issuer, with its colons escaped."""
    assert bearer(OURS, **NAMED, sub="a:b%").name == "jwt:https://auth.example.com/:a:b%"
    assert bearer(iss="https://a", sub="a:b%").name == "jwt:https://a:a%3Ab%25"


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("read generate", {"read", "generate"}),
        ("openid profile  read", {"read"}),
        ("reads Read read:all", set()),
        ("", set()),
        (None, set()),
        (..., set()),
    ],
)
def test_scopes(scope: Any, scopes: set[str]) -> None:
    """Only what is known counts, word by word; no claim means no scope."""
    assert bearer(scope=scope).scopes == scopes


@pytest.mark.parametrize("aud", ["tidegate", ["tidegate"], ["other", "tidegate"]])
def test_expected(aud: Any) -> None:
    """The configured issuer and audience must be those of the token."""
    assert bearer(OURS, iss=OURS.issuer, aud=aud).name == "jwt:https://auth.example.com/:anna"


@pytest.mark.parametrize(
    ("expected", "claims"),
    [
        (OURS, {"iss": OURS.issuer}),
        (OURS, {"aud": OURS.audience}),
        (OURS, {**NAMED, "iss": "https://auth.example.com"}),
        (OURS, {**NAMED, "iss": "https://auth.example.com/evil"}),
        (OURS, {**NAMED, "iss": [OURS.issuer]}),
        (OURS, {**NAMED, "aud": "tidegate2"}),
        (OURS, {**NAMED, "aud": ["other"]}),
        (OURS, {**NAMED, "aud": []}),
        (OURS, {**NAMED, "aud": ""}),
        (OURS, {**NAMED, "aud": {"tidegate": 1}}),
        (ANY, {"aud": "tidegate"}),
        (ANY, {"aud": ""}),
        (ANY, {"aud": []}),
        (ANY, {"aud": None}),
        (ANY, {"iss": "a\nb"}),
        (ANY, {"sub": ...}),
        (ANY, {"sub": ""}),
        (ANY, {"sub": "x" * 256}),
        (ANY, {"sub": "a\x00"}),
        (ANY, {"sub": "a\u202eb"}),
        (ANY, {"sub": 1}),
        (ANY, {"sub": None}),
        (ANY, {"exp": ...}),
        (ANY, {"exp": None}),
        (ANY, {"exp": str(NOW + 60)}),
        (ANY, {"exp": True}),
        (ANY, {"nbf": NOW + 31}),
        (ANY, {"nbf": "0"}),
        (ANY, {"nbf": None}),
        (ANY, {"iat": NOW + 31}),
        (ANY, {"scope": ["read"]}),
        (ANY, {"scope": 1}),
    ],
)
def test_refused(expected: Expected, claims: dict[str, Any]) -> None:
    """What is not for us, not yet valid, or not what it should be, is refused; waiting for its end mends nothing."""
    with pytest.raises(Unauthenticated) as refused:
        bearer(expected, **claims)
    assert refused.type is Unauthenticated


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b"\xff", b'{"sub": "\xff", "exp": 1}', b"[" * 9999, b'{"x": ' + b"[" * 9999]
)
def test_malformed(payload: bytes) -> None:
    """A payload that is no JSON object is refused, not broken upon."""
    with pytest.raises(Unauthenticated):
        principal_of(payload, ANY, NOW)


def test_times() -> None:
    """Clocks may differ by the leeway, both ways, and no more."""
    assert bearer(nbf=NOW + 30, iat=NOW + 30, exp=NOW - 29)
    with pytest.raises(TokenExpired):
        bearer(exp=NOW - 30)


def test_expired_is_said_only_of_our_own() -> None:
    """A token that would be refused anyway is not called expired."""
    with pytest.raises(Unauthenticated) as refused:
        bearer(OURS, iss="https://other", exp=NOW - 100)
    assert refused.type is Unauthenticated
