"""The public keys of an issuer (RFC 7517)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from tidegate.core import lenient_json
from tidegate.errors import IssuerUnavailable
from tidegate.gate.jwt.jws import Header

MIN_RSA_BITS = 2048
"""RFC 7518, 3.3."""

MAX_RSA_BITS = 16384
"""OpenSSL's limit, too. The time of a signature check grows with its square."""

MAX_EXPONENT_BITS = 64
"""Usually 17; the time of a signature check grows with it."""

MAX_KEYS = 200
"""Issuers have a handful, the largest some dozens. Loading a key takes up to 0.1 ms of the loop."""

MAX_TRIED = 4
"""How many keys are tried for a token that does not name its own: each try costs as much as a valid token."""

_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))

# RFC 7518, 3.1 and RFC 8037, 3.1: the algorithms of each type and curve. `oct`, a shared secret, has none here.
_ALGORITHMS = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): frozenset(("ES256",)),
    ("EC", "P-384"): frozenset(("ES384",)),
    ("EC", "P-521"): frozenset(("ES512",)),
    ("OKP", "Ed25519"): frozenset(("EdDSA",)),
    ("OKP", "Ed448"): frozenset(("EdDSA",)),
}
_PUBLIC = ("kty", "crv", "n", "e", "x", "y")


class Key(msgspec.Struct, frozen=True):
    """A public key and the algorithms it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    material: Any


class KeySet(msgspec.Struct, frozen=True):
    """The usable keys of an issuer."""

    keys: tuple[Key, ...]

    def fitting(self, header: Header) -> tuple[Key, ...] | None:
        """The keys that may have signed a token with this header; None if its `kid` is unknown.

        Without `kid`, the first `MAX_TRIED` that fit.
        """
        named = [key for key in self.keys if header.kid in (None, key.kid)]
        if header.kid is not None and not named:
            return None
        return tuple(key for key in named if header.alg in key.algorithms)[:MAX_TRIED]


class _Document(msgspec.Struct):
    keys: list[msgspec.Raw]


class _Jwk(msgspec.Struct):
    kty: str
    crv: str | None = None
    kid: str | None = None
    alg: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    n: str | None = None
    e: str | None = None
    x: str | None = None
    y: str | None = None


def parse_keys(document: bytes) -> KeySet:
    """The usable keys of a JWK Set; keys that are not understood, or not for signatures, are ignored (RFC 7517, 5).

    Raises `IssuerUnavailable` where the document is no JWK Set, or has more than `MAX_KEYS`.
    """
    found = _keys_in(document)
    if len(found) > MAX_KEYS:
        raise IssuerUnavailable(f"the answer has more than {MAX_KEYS} keys")
    return KeySet(tuple(key for key in map(_key, found) if key is not None))


def _keys_in(document: bytes) -> Sequence[msgspec.Raw]:
    try:
        return msgspec.json.decode(document, type=_Document).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _keys_that_can_be_read(document)


def _keys_that_can_be_read(document: bytes) -> Sequence[msgspec.Raw]:
    """Parses leniently: an invalid character in one key must not cost the others."""
    try:
        found = lenient_json.as_object(lenient_json.loads(document)).get("keys")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise IssuerUnavailable("the answer is not a JWK Set")
    return [msgspec.Raw(lenient_json.dumps(key)) for key in lenient_json.as_list(cast("object", found))]


def _key(raw: msgspec.Raw) -> Key | None:
    try:
        jwk = msgspec.json.decode(raw, type=_Jwk)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    algorithms = _algorithms(jwk)
    material = _material(jwk, next(iter(algorithms))) if algorithms else None
    return None if material is None else Key(jwk.kid, algorithms, material)


def _algorithms(jwk: _Jwk) -> frozenset[str]:
    fitting = _ALGORITHMS.get((jwk.kty, jwk.crv), frozenset[str]())
    if jwk.use not in (None, "sig") or "verify" not in (jwk.key_ops or ("verify",)):
        return frozenset()
    return fitting if jwk.alg is None else fitting & {jwk.alg}


def _material(jwk: _Jwk, alg: str) -> Any:
    from jwt import get_algorithm_by_name

    # If a private key was published by mistake, only its public half is used.
    public = {name: value for name in _PUBLIC if (value := getattr(jwk, name)) is not None}
    if _is_longer(jwk.n, MAX_RSA_BITS) or _is_longer(jwk.e, MAX_EXPONENT_BITS):
        return None
    try:
        key: Any = get_algorithm_by_name(alg).from_jwk(public)
    except Exception:
        # Whatever the library raises for this key, the other keys stay usable.
        return None
    return None if jwk.kty == "RSA" and key.key_size < MIN_RSA_BITS else key


def _is_longer(number: str | None, bits: int) -> bool:
    """Whether a number in Base64 has more than so many bits, to within a byte."""
    return number is not None and len(number.rstrip("=")) * 6 >= bits + 14
