from __future__ import annotations

import pytest
from issuer_kit import CLAIMS, NOW, SECRET, signed

from tidegate.errors import TokenExpired
from tidegate.gate.jwt import tokens as module
from tidegate.gate.jwt.jwk import KeySet
from tidegate.gate.jwt.tokens import Tokens
from tidegate.gate.jwt.verified_tokens import VerifiedTokens


def test_a_token_is_known_again_under_the_same_keys_only() -> None:
    """Whoever has withdrawn a key wants nothing more of what it has signed."""
    verified, keys, later = VerifiedTokens(), KeySet(()), KeySet(())
    assert verified.keep("a", keys, b"payload") == b"payload"
    assert verified.find("a", keys) == b"payload"
    assert verified.find("a", later) is verified.find("a", None) is verified.find("b", keys) is None
    verified.keep("b", later, b"other")
    assert verified.find("a", keys) is verified.find("a", later) is None


def test_the_oldest_makes_room() -> None:
    """A million tokens take no more memory than those that are held."""
    verified = VerifiedTokens(most=2)
    for name in "abc":
        verified.keep(name, None, name.encode())
    assert [verified.find(name, None) for name in "abc"] == [None, b"b", b"c"]


def test_a_signature_is_verified_once_and_the_times_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that has been good is not good for ever."""
    times = [NOW, NOW, NOW + 3600]
    checked = Tokens(secret=SECRET, keys=None, issuer="", audience="", now=lambda: times.pop(0))
    token = signed({"alg": "HS256"}, CLAIMS, SECRET)
    first = checked.check(token)
    monkeypatch.delattr(module, "signed_payload")
    assert checked.check(token) == first
    with pytest.raises(TokenExpired):
        checked.check(token)
