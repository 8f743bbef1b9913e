"""An issuer of tokens, its keys, and a clock that stands until it is told to go on."""

from __future__ import annotations

import asyncio
import heapq
import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from tidegate.core.principal import Principal
from tidegate.errors import IssuerUnavailable
from tidegate.gate.jwt.jwks import IssuerKeys
from tidegate.gate.jwt.tokens import Tokens

NOW = 1_800_000_000.0
SECRET = b"correct horse battery staple, twice over"
CLAIMS: Mapping[str, Any] = {"sub": "anna", "exp": NOW + 60, "scope": "openid read generate"}


class Clock:
    def __init__(self) -> None:
        self.now = NOW
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._slept += 1
        sleeper = (self.now + seconds, self._slept, asyncio.get_running_loop().create_future())
        heapq.heappush(self._sleepers, sleeper)
        await sleeper[2]

    async def advance(self, seconds: float) -> None:
        """Goes on, and lets everything happen that was to happen until then."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self.now = end


async def settle() -> None:
    """Every task comes to where it has to wait."""
    for _ in range(8):
        await asyncio.sleep(0)


class Issuer:
    """Signs with the newest of its keys, and answers with all of them."""

    def __init__(self, *kids: str) -> None:
        self.clock = Clock()
        self.jwks = [jwk(private_key("ES256", kid), kid=kid) for kid in kids]
        self.newest = kids[-1] if kids else ""
        self.fetches: list[float] = []
        self.down = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.keys = IssuerKeys(self.fetch, name="auth.example.com", clock=self.clock, sleep=self.clock.sleep)
        self.tokens = Tokens(secret=SECRET, keys=self.keys, issuer="", audience="", now=self.clock)

    def rotate(self, kid: str) -> None:
        self.jwks = [jwk(private_key("ES256", kid), kid=kid)]
        self.newest = kid

    def token(self, kid: str | None = None, sub: str = "anna") -> str:
        kid = kid or self.newest
        return signed({"alg": "ES256", "kid": kid}, {**CLAIMS, "sub": sub, "exp": self.clock() + 60})

    async def fetch(self) -> bytes:
        self.fetches.append(self.clock())
        document = json.dumps({"keys": self.jwks}).encode()
        await self.answers.wait()
        if self.down:
            raise IssuerUnavailable("answers 500")
        return document

    async def check(self, token: str) -> Principal:
        """What comes of it, once enough time has passed."""
        found = self.tokens.check(token)
        if isinstance(found, Principal):
            return found
        waiting = asyncio.ensure_future(resolved(found))
        await self.clock.advance(0)
        if not waiting.done():
            await self.clock.advance(30)
        return await waiting


async def resolved(found: Principal | Awaitable[Principal]) -> Principal:
    return found if isinstance(found, Principal) else await found


@cache
def private_key(alg: str, name: str = "") -> Any:
    """A key for the algorithm; the same name gives the same key."""
    curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
    if alg in curves:
        return ec.generate_private_key(curves[alg]())
    if alg == "EdDSA":
        return ed448.Ed448PrivateKey.generate() if name == "ed448" else ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 1024 if name == "small" else 2048)


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    kinds = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
    alg = next((alg for kind, alg in kinds.items() if isinstance(key, kind)), "EdDSA")
    return {**jwt.get_algorithm_by_name(alg).to_jwk(key.public_key(), as_dict=True), **members}


def signed(header: Mapping[str, Any], claims: Mapping[str, Any], key: Any = None) -> str:
    """A token; without `key` by the one that its `kid` is the name of."""
    alg = header["alg"]
    key = key or private_key(alg, header.get("kid", ""))
    return with_signature(header, claims, lambda text: jwt.get_algorithm_by_name(alg).sign(text, key))


def with_signature(header: object, claims: object, sign: Any) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{base64url(sign(text.encode()))}"


def part(value: object) -> str:
    return base64url(json.dumps(value).encode())


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
