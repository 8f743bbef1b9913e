from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from issuer_kit import CLAIMS, NOW, SECRET, Clock, Issuer, base64url, jwk, part, private_key, settle, signed
from issuer_kit import with_signature as forged

from tidegate.core.principal import Principal
from tidegate.errors import ConfigError, TokenExpired, Unauthenticated
from tidegate.gate.jwt.jws import MAX_TOKEN_CHARS, SIGNED_BY_KEY
from tidegate.gate.jwt.tokens import Tokens, is_jwt, mint, secret_of

pytestmark = pytest.mark.anyio

ANNA = Principal("jwt::anna", frozenset({"read", "generate"}), "jwt::anna", expires_at=NOW + 90)
MALLORY = private_key("RS256", "mallory")
RS, ES = {"alg": "RS256", "kid": "RS256"}, {"alg": "ES256", "kid": "ES256"}
HS = {"alg": "HS256"}


def hmacs(secret: bytes, digest: str = "sha256") -> Callable[[bytes], bytes]:
    return lambda text: hmac.digest(secret, text, digest)


def by_mallory(text: bytes) -> bytes:
    return jwt.get_algorithm_by_name("RS256").sign(text, MALLORY)


def unsigned(text: bytes) -> bytes:
    return b""


def der(text: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    return private_key("ES256", "ES256").sign(text, ECDSA(SHA256()))


def pem() -> bytes:
    return private_key("RS256", "RS256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def changed(token: str, index: int, new: Callable[[str], str]) -> str:
    parts = token.split(".")
    parts[index] = new(parts[index])
    return ".".join(parts)


def hs(claims: Any = CLAIMS, **header: Any) -> str:
    return forged({**HS, **header}, claims, hmacs(SECRET))


async def issuer() -> Issuer:
    """With a key for every algorithm, named by it, and some that are no keys for tokens."""
    issuer = Issuer()
    issuer.jwks = [jwk(private_key(alg, alg), kid=alg) for alg in sorted(SIGNED_BY_KEY)]
    issuer.jwks += [
        {"kty": "oct", "k": base64url(b"k" * 32), "kid": "oct", "alg": "HS256"},
        jwk(private_key("RS256", "small"), kid="small"),
        jwk(private_key("RS256", "enc"), kid="enc", use="enc"),
        jwk(private_key("RS256", "pinned"), kid="pinned", alg="RS256"),
    ]
    issuer.tokens.start()
    await settle()
    return issuer


@pytest.mark.parametrize("alg", sorted(SIGNED_BY_KEY))
async def test_signed_by_the_issuer(alg: str) -> None:
    """Every algorithm of public keys is accepted at once, once the keys are there."""
    assert (await issuer()).tokens.check(signed({"alg": alg, "kid": alg}, CLAIMS)) == ANNA


async def test_signed_with_the_secret() -> None:
    """HS256 needs no issuer."""
    tokens = Tokens(secret=SECRET, keys=None, issuer="", audience="", now=Clock())
    assert tokens.check(hs()) == ANNA
    assert tokens.check(hs(typ="JWT", jku="https://evil.example", more={"a": 1})) == ANNA


async def test_issuer_and_audience() -> None:
    """Tokens of others, and for others, are refused."""
    tokens = Tokens(secret=SECRET, keys=None, issuer="https://a", audience="us", now=Clock())
    found = tokens.check(hs({**CLAIMS, "iss": "https://a", "aud": "us"}))
    assert isinstance(found, Principal)
    assert found.name == "jwt:https://a:anna"
    for wrong in ({"iss": "https://b", "aud": "us"}, {"iss": "https://a", "aud": "them"}, {"iss": "https://a"}):
        with pytest.raises(Unauthenticated):
            tokens.check(hs({**CLAIMS, **wrong}))


async def test_without_a_name() -> None:
    """A token that does not name its key is tried with those that fit, and again once there are others."""
    found = Issuer("one")
    for _ in range(2):
        token = signed({"alg": "ES256"}, CLAIMS, private_key("ES256", found.newest))
        assert await found.check(token) == ANNA
        found.rotate("two")
    with pytest.raises(Unauthenticated):
        await found.check(signed({"alg": "ES256"}, {**CLAIMS, "exp": NOW + 999}, private_key("ES256", "mallory")))


async def test_expired() -> None:
    """A token that was valid says so, whoever signed it."""
    gate = await issuer()
    for token in (hs({**CLAIMS, "exp": NOW - 30}), signed(ES, {**CLAIMS, "exp": NOW - 30})):
        with pytest.raises(TokenExpired, match="get a new one"):
            gate.tokens.check(token)


ATTACKS: dict[str, Callable[[], str]] = {
    "none": lambda: forged({"alg": "none"}, CLAIMS, unsigned),
    "None": lambda: forged({"alg": "None"}, CLAIMS, unsigned),
    "NONE": lambda: forged({"alg": "NONE"}, CLAIMS, unsigned),
    "none, with a known key": lambda: forged({"alg": "none", "kid": "RS256"}, CLAIMS, unsigned),
    "none, signed": lambda: forged({"alg": "none"}, CLAIMS, hmacs(SECRET)),
    "no alg": lambda: forged({"kid": "RS256"}, CLAIMS, by_mallory),
    "empty alg": lambda: forged({"alg": ""}, CLAIMS, unsigned),
    "alg is no text": lambda: forged({"alg": ["HS256"]}, CLAIMS, hmacs(SECRET)),
    "alg in lower case": lambda: forged({"alg": "hs256"}, CLAIMS, hmacs(SECRET)),
    "HS256 by the public key as PEM": lambda: forged({**HS, "kid": "RS256"}, CLAIMS, hmacs(pem())),
    "HS256 by the public key as JWK": lambda: forged(
        {**HS, "kid": "RS256"}, CLAIMS, hmacs(json.dumps(jwk(private_key("RS256", "RS256"))).encode())
    ),
    "HS256 by a published secret": lambda: forged({**HS, "kid": "oct"}, CLAIMS, hmacs(b"k" * 32)),
    "HS256 by nothing": lambda: forged(HS, CLAIMS, hmacs(b"")),
    "HS384 by the secret": lambda: forged({"alg": "HS384"}, CLAIMS, hmacs(SECRET, "sha384")),
    "HS512 by the secret": lambda: forged({"alg": "HS512"}, CLAIMS, hmacs(SECRET, "sha512")),
    "RS256 by the secret": lambda: forged(RS, CLAIMS, hmacs(SECRET)),
    "another's key under a known name": lambda: forged(RS, CLAIMS, by_mallory),
    "jwk": lambda: forged({**RS, "jwk": jwk(MALLORY)}, CLAIMS, by_mallory),
    "jku": lambda: forged({**RS, "kid": "new", "jku": "https://evil.example/jwks"}, CLAIMS, by_mallory),
    "x5u": lambda: forged({"alg": "RS256", "x5u": "https://evil.example/x"}, CLAIMS, by_mallory),
    "x5c": lambda: forged({"alg": "RS256", "x5c": ["MIIB"]}, CLAIMS, by_mallory),
    "an algorithm of another type of key": lambda: signed({**RS, "kid": "ES256"}, CLAIMS, MALLORY),
    "a curve of another algorithm": lambda: forged({**ES, "kid": "ES384"}, CLAIMS, der),
    "another algorithm than the key's own": lambda: signed(
        {"alg": "PS256", "kid": "pinned"}, CLAIMS, private_key("RS256", "pinned")
    ),
    "ES256K": lambda: forged({**ES, "alg": "ES256K"}, CLAIMS, der),
    "a short key": lambda: signed({"alg": "RS256", "kid": "small"}, CLAIMS),
    "a key for encryption": lambda: signed({"alg": "RS256", "kid": "enc"}, CLAIMS),
    "an unknown key": lambda: signed({"alg": "ES256", "kid": "unknown"}, CLAIMS),
    "a name that is a path": lambda: forged({**HS, "kid": "../../dev/null"}, CLAIMS, hmacs(b"\0")),
    "a name that is no text": lambda: forged({**HS, "kid": 1}, CLAIMS, hmacs(SECRET)),
    "a signature of zeros": lambda: forged(ES, CLAIMS, lambda text: bytes(64)),
    "a signature in DER": lambda: forged(ES, CLAIMS, der),
    "crit": lambda: hs(crit=["exp"], exp=1),
    "crit, empty": lambda: hs(crit=[]),
    "crit, null": lambda: hs(crit=None),
    "crit b64": lambda: hs(crit=["b64"], b64=True),
    "b64 false": lambda: hs(b64=False),
    "crit b64 false": lambda: hs(crit=["b64"], b64=False),
    "no signature": lambda: changed(hs(), 2, lambda _: ""),
    "a signature cut short": lambda: changed(hs(), 2, lambda old: old[:-4]),
    "another's signature": lambda: changed(hs(), 2, lambda _: hs({**CLAIMS, "sub": "b"}).split(".")[2]),
    "other claims": lambda: changed(hs(), 1, lambda _: part({**CLAIMS, "scope": "admin"})),
    "another header": lambda: changed(hs(), 0, lambda _: part({**HS, "kid": "a"})),
    "padding": lambda: hs() + "=",
    "a newline": lambda: hs() + "\n",
    "a space": lambda: " " + hs(),
    "two parts": lambda: hs().rpartition(".")[0],
    "four parts": lambda: hs() + ".a",
    "five parts, as if encrypted": lambda: hs() + ".a.b",
    "nothing": lambda: "",
    "dots": lambda: "..",
    "no base64": lambda: changed(hs(), 0, lambda old: old + "!"),
    "base64 of an impossible length": lambda: changed(hs(), 0, lambda _: "aaaaa"),
    "bits that no encoder writes": lambda: changed(hs(), 2, lambda old: old[:-1] + chr(ord(old[-1]) + 1)),
    "a header that is no JSON": lambda: changed(hs(), 0, lambda _: base64url(b"{alg: HS256}")),
    "a header that is a list": lambda: changed(hs(), 0, lambda _: part(["HS256"])),
    "a header without an end": lambda: changed(hs(), 0, lambda _: base64url(b"[" * 3000)),
    "a header that goes too deep": lambda: changed(hs(), 0, lambda _: base64url(b'{"x": ' + b"[" * 4000)),
    "a header that is no UTF-8": lambda: changed(hs(), 0, lambda _: base64url(b'{"alg": "\xff"}')),
    "claims that are no JSON": lambda: forged_bytes(b"sub=anna"),
    "claims that are a list": lambda: hs([CLAIMS]),
    "no subject": lambda: hs({"exp": NOW + 60}),
    "no end": lambda: hs({"sub": "anna"}),
    "not begun": lambda: hs({**CLAIMS, "nbf": NOW + 31}),
    "for somebody": lambda: hs({**CLAIMS, "aud": "them"}),
    "too long": lambda: hs({**CLAIMS, "more": "x" * MAX_TOKEN_CHARS}),
}  # fmt: skip


def forged_bytes(payload: bytes) -> str:
    text = f"{part(HS)}.{base64url(payload)}"
    return f"{text}.{base64url(hmacs(SECRET)(text.encode()))}"


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_attacks(attack: Callable[[], str]) -> None:
    """What is not signed by whom we trust, in every detail, is refused; the message repeats nothing of it."""
    gate, token = await issuer(), attack()
    with pytest.raises(Unauthenticated) as refused:
        await gate.check(token)
    assert refused.type is Unauthenticated
    said = refused.value.message
    names = ("anna", "mallory", "evil", "RS256", "unknown")
    assert not any(text in said for text in (*names, *(each for each in token.split(".") if len(each) > 1)))


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"b64": False}])
async def test_extensions(header: dict[str, Any]) -> None:
    """A token that wants to be understood differently is told that it is not."""
    with pytest.raises(Unauthenticated, match="extensions"):
        (await issuer()).tokens.check(hs(**header))


async def test_no_secret() -> None:
    """Without a secret HS256 is no algorithm, whatever it was made with."""
    gate = await issuer()
    tokens = Tokens(secret=None, keys=gate.keys, issuer="", audience="", now=gate.clock)
    for secret in (SECRET, b"", b"None", pem()):
        with pytest.raises(Unauthenticated, match="algorithm"):
            tokens.check(forged({**HS, "kid": "RS256"}, CLAIMS, hmacs(secret)))


async def test_no_issuer() -> None:
    """Without an issuer there are no public keys."""
    tokens = Tokens(secret=SECRET, keys=None, issuer="", audience="", now=Clock())
    with pytest.raises(Unauthenticated, match="algorithm"):
        tokens.check(signed(ES, CLAIMS))
    tokens.start()
    tokens.close()


@settings(max_examples=300)
@given(
    header=st.recursive(
        st.none() | st.booleans() | st.text(max_size=5) | st.integers() | st.sampled_from(["HS256", "RS256", "none"]),
        lambda inner: st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ"]), inner) | st.lists(inner),
        max_leaves=6,
    ),
    payload=st.binary(max_size=50),
    signature=st.binary(max_size=70),
)
def test_anything(header: Any, payload: bytes, signature: bytes) -> None:
    """Whatever is sent is refused as invalid credentials, and breaks nothing."""
    tokens = Tokens(secret=SECRET, keys=None, issuer="", audience="", now=Clock())
    with pytest.raises(Unauthenticated):
        tokens.check(f"{part(header)}.{base64url(payload)}.{base64url(signature)}")


CLAIM = st.none() | st.text() | st.floats() | st.lists(st.text())


@given(st.binary(max_size=80) | st.dictionaries(st.sampled_from(sorted({*CLAIMS, "aud", "iss", "nbf"})), CLAIM))
def test_any_claims(claims: Any) -> None:
    """Nor do claims that the secret has signed: they make a bearer, or are refused."""
    tokens = Tokens(secret=SECRET, keys=None, issuer="", audience="", now=Clock())
    try:
        found = tokens.check(forged_bytes(claims) if isinstance(claims, bytes) else hs(claims))
    except Unauthenticated:
        return
    assert isinstance(found, Principal)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b.c", True),
        ("eyJ-_0.eyJ.c2ln", True),
        ("a.b.", True),
        ("a.b", False),
        ("a..c", False),
        ("a.b.c.d", False),
        ("a.b.c\n", False),
        ("a.b.c=", False),
        ("tg_0123", False),
        ("", False),
    ],
)
def test_is_jwt(text: str, expected: bool) -> None:
    """A JWT is told from a key by its form."""
    assert is_jwt(text) is expected


def test_mint() -> None:
    """What is minted is accepted by who expects its issuer and audience, until it ends."""
    clock = Clock()
    tokens = Tokens(secret=SECRET, keys=None, issuer="https://a", audience="us", now=clock)
    token = mint(SECRET, sub="anna", scopes=["read"], ttl_seconds=60, issuer="https://a", audience="us", now=NOW + 0.9)
    assert tokens.check(token) == Principal(
        "jwt:https://a:anna", frozenset({"read"}), "jwt:https://a:anna", expires_at=NOW + 90
    )
    clock.now += 90
    with pytest.raises(TokenExpired):
        tokens.check(token)


def test_mint_for_nobody_in_particular() -> None:
    """Without issuer and audience the token has none."""
    token = mint(SECRET, sub="anna", scopes=[], ttl_seconds=1, issuer="", audience="", now=NOW)
    found = Tokens(secret=SECRET, keys=None, issuer="", audience="", now=Clock()).check(token)
    assert isinstance(found, Principal)
    assert (found.name, found.scopes) == ("jwt::anna", frozenset())


@pytest.mark.parametrize("sub", ["", "a\n", "x" * 256])
def test_mint_refused(sub: str) -> None:
    """No token is minted that would be refused."""
    with pytest.raises(ConfigError, match="cannot have the subject"):
        mint(SECRET, sub=sub, scopes=[], ttl_seconds=1, issuer="", audience="", now=NOW)


@pytest.mark.parametrize("text", ["s" * 32, "s" * 32 + "\n", "s" * 32 + "\r\n", "ß" * 16, " " * 32, "\udcff" * 32])
def test_secret_of(text: str) -> None:
    """The secret is what the variable holds, but for the newline of the file that it was read from."""
    secret = secret_of("SECRET", {"SECRET": text})
    assert secret == text.rstrip("\r\n").encode("utf-8", "surrogateescape")
    assert len(secret) == 32


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("", "s" * 32, "auth.jwt_secret_env is not set"),
        ("OTHER", "s" * 32, "auth.jwt_secret_env = 'OTHER': the environment has no such variable"),
        ("SECRET", "\n", "auth.jwt_secret_env = 'SECRET': the environment has no such variable, or an empty one"),
        ("SECRET", "s" * 31 + "\n", "auth.jwt_secret_env = 'SECRET': the secret must have at least 32 bytes"),
        ("SECRET", pem().decode(), "auth.jwt_secret_env = 'SECRET': this is a key or a certificate"),
    ],
)
def test_no_secret_of(name: str, text: str, message: str) -> None:
    """A missing, short or public secret is wrong configuration, and is not repeated."""
    with pytest.raises(ConfigError) as refused:
        secret_of(name, {"SECRET": text})
    assert refused.value.message.startswith(message)
    assert text not in refused.value.message


def test_what_is_not_configured_is_not_loaded() -> None:
    """Without tokens neither PyJWT nor cryptography costs anything at start."""
    script = "import sys, tidegate.gate.jwt.tokens, tidegate.gate.jwt.jwks; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"jwt", "cryptography", "urllib.request", "http.client"}.intersection(run.stdout.split())


def test_the_kit_signs() -> None:
    """The HMAC of these tests is that of everybody else."""
    assert hmacs(b"a")(b"b") == hmac.new(b"a", b"b", hashlib.sha256).digest()
    assert jwt.decode(hs({"sub": "a"}), SECRET, algorithms=["HS256"]) == {"sub": "a"}
