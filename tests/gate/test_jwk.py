from __future__ import annotations

import json
from typing import Any

import pytest
from issuer_kit import jwk, private_key

from tidegate.errors import IssuerUnavailable
from tidegate.gate.jwt.jwk import MAX_KEYS, MAX_TRIED, parse_keys
from tidegate.gate.jwt.jws import Header

RSA, EC, ED = private_key("RS256"), private_key("ES256"), private_key("EdDSA")


def parsed(*keys: Any) -> list[tuple[str | None, set[str]]]:
    found = parse_keys(json.dumps({"keys": keys}).encode())
    return [(key.kid, set(key.algorithms)) for key in found.keys]


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (jwk(RSA), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (jwk(RSA, alg="PS384", use="sig"), {"PS384"}),
        (jwk(EC, key_ops=["verify"]), {"ES256"}),
        (jwk(private_key("ES384")), {"ES384"}),
        (jwk(private_key("ES512")), {"ES512"}),
        (jwk(ED), {"EdDSA"}),
        (jwk(private_key("EdDSA", "ed448")), {"EdDSA"}),
        (jwk(EC, x5c=["x"], more={}), {"ES256"}),
    ],
)
def test_usable(key: dict[str, Any], algorithms: set[str]) -> None:
    """A key serves the algorithms of its type and curve, or the one of them that it names."""
    assert parsed({**key, "kid": "a"}) == [("a", algorithms)]


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "RS256"},
        jwk(RSA, use="enc"),
        jwk(RSA, key_ops=["encrypt"]),
        jwk(RSA, alg="ES256"),
        jwk(RSA, alg="RSA-OAEP"),
        jwk(RSA, alg="none"),
        jwk(RSA, alg="HS256"),
        jwk(private_key("RS256", "small")),
        jwk(RSA, e="AQ"),
        jwk(RSA, n="!"),
        jwk(RSA, n="_" * 2740),
        jwk(RSA, n="_" * 500_000),
        jwk(RSA, e="_" * 20),
        {"kty": "RSA"},
        jwk(EC, crv="P-384"),
        jwk(EC, crv="secp256k1"),
        jwk(EC, x="AAAA"),
        jwk(EC, x=jwk(EC)["y"]),
        jwk(ED, crv="X25519"),
        jwk(ED, x="AAAA"),
        jwk(EC, kid=5),
        jwk(EC, kty="EC2"),
        {"kid": "a"},
        [],
        None,
    ],
)
def test_ignored(key: Any) -> None:
    """What is secret, weak, broken, for something else or not understood is no key; its neighbours are."""
    assert [kid for kid, _ in parsed(key, jwk(EC, kid="good"))] == ["good"]


def test_only_the_public_half() -> None:
    """Of a private key that was published by mistake the public half is used."""
    numbers = EC.private_numbers().private_value.to_bytes(32, "big")
    published = jwk(EC, kid="a", d=numbers.hex())
    (key,) = parse_keys(json.dumps({"keys": [published]}).encode()).keys
    assert key.material.public_numbers() == EC.public_key().public_numbers()


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"{}", b'{"keys": {}}', b'{"keys": 1}', b"<html>", b"\xff" * 9, b'{"keys": [' + b"[" * 9999],
)
def test_no_key_set(document: bytes) -> None:
    """Anything but a JWK Set counts as not fetched."""
    with pytest.raises(IssuerUnavailable, match="not a JWK Set"):
        parse_keys(document)


def test_a_key_that_is_no_text() -> None:
    """Bytes that are no UTF-8 inside one key leave the others."""
    good = json.dumps(jwk(EC, kid="good")).encode()
    found = parse_keys(b'{"keys": [{"kty": "EC", "kid": "\xff"}, ' + good + b"]}")
    assert [key.kid for key in found.keys] == ["good"]


def test_too_many() -> None:
    """A set is bounded."""
    assert len(parsed(*[jwk(EC)] * MAX_KEYS)) == MAX_KEYS
    with pytest.raises(IssuerUnavailable, match="more than 200"):
        parsed(*[jwk(EC)] * (MAX_KEYS + 1))


def test_fitting() -> None:
    """A token is tried with the keys of its name and algorithm, or without a name with the first few that fit."""
    keys = [jwk(EC, kid="a"), jwk(RSA, kid="a"), jwk(ED, kid="b"), *[jwk(EC)] * 9]
    found = parse_keys(json.dumps({"keys": keys}).encode())
    assert found.fitting(Header("ES256", "a")) == (found.keys[0],)
    assert found.fitting(Header("RS512", "a")) == (found.keys[1],)
    assert found.fitting(Header("ES256", "b")) == ()
    assert found.fitting(Header("ES256", "c")) is None
    assert found.fitting(Header("EdDSA")) == (found.keys[2],)
    assert len(found.fitting(Header("ES256")) or ()) == MAX_TRIED


@pytest.mark.parametrize(
    "bad",
    [
        b"null",
        b"7",
        b"[]",
        b'"a"',
        b'{"kty": "RSA", "n": "\\ud800"}',
        b'{"kty": "RSA", "n": "\xff", "e": "AQAB"}',
        b'{"kty": "RSA", "n": "", "e": ""}',
        b'{"kty": "RSA", "n": "AA", "e": "AA"}',
        b'{"kty": "EC", "crv": "P-256", "x": "", "y": ""}',
        b'{"kty": "EC", "crv": "P-256", "x": "' + b"A" * 43 + b'", "y": "' + b"A" * 43 + b'"}',
        b'{"kty": "OKP", "crv": "Ed448", "x": "\\u0000"}',
        b'{"kty": "RSA", "x": 1e999}',
        b'{"kty": "RSA", "x": ' + b"[" * 500 + b"]" * 500 + b"}",
    ],
)
def test_one_bad_key_takes_no_other_along(bad: bytes) -> None:
    """Whatever is wrong with it: who signs with the key beside it is let in."""
    good = json.dumps(jwk(EC, kid="good")).encode()
    for document in (b'{"keys": [%b, %b]}' % (bad, good), b'{"keys": [%b, %b]}' % (good, bad)):
        assert [key.kid for key in parse_keys(document).keys] == ["good"]
