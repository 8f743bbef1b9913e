"""A token issuer on loopback, whose keys the server fetches."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

KID = "bench"
RSA_BITS = 2048
RSA_EXPONENT = 65537


@dataclass(frozen=True)
class Issuer:
    """The URL of the issuer's key set, and the key that signs its tokens."""

    url: str
    alg: str
    key: Any

    def token(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self.key, algorithm=self.alg, headers={"kid": KID})


@contextmanager
def issuing(alg: str) -> Generator[Issuer]:
    """Runs an issuer with one key, for `RS256` or `EdDSA`."""
    key = _private_key(alg)
    document = msgspec.json.encode({"keys": [_jwk(alg, key)]})

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Issuer(f"http://127.0.0.1:{server.server_port}/", alg, key)
        finally:
            server.shutdown()
            thread.join()


def _private_key(alg: str) -> RSAPrivateKey | Ed25519PrivateKey:
    return generate_private_key(RSA_EXPONENT, RSA_BITS) if alg == "RS256" else Ed25519PrivateKey.generate()


def _jwk(alg: str, key: RSAPrivateKey | Ed25519PrivateKey) -> dict[str, Any]:
    public: dict[str, Any] = jwt.get_algorithm_by_name(alg).to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": KID}
