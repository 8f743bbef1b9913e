from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.masking import masked, masked_path

HEX = "3f9c1e0a" * 8
KEY = "tg_" + "Zb3-kQ9_" * 5 + "xYz"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"

SECRETS = {
    "share_" + HEX: HEX[:16],
    "lease_" + HEX: HEX[:16],
    KEY: "kQ9",
    KEY[:12]: KEY[3:12],
    JWT: "eyJhbGci",
    JWT[:20]: "eyJhbGci",
    HEX: HEX[:16],
    "sk-proj-AbCdEf0123456789": "AbCdEf",
    "ghp_0123456789abcdefABCD": "0123456789",
    "Bearer abc123": "abc123",
    "bearer.abc123": "abc123",
    "access_token=abc": "abc",
    "a;api_key=abc&b=c": "=abc",
    "q7Xk" * 8: "q7Xk",
    "c" + HEX[:23]: HEX[:8],
    "http://ann:hunter2@example.com": "hunter2",
}


@given(st.text(max_size=20), st.integers(0, 2**256 - 1), st.integers(16, 64))
def test_masked(around: str, bits: int, digits: int) -> None:
    """No text tells a share token, nor a part of one from which the rest could be guessed."""
    token = f"{bits:064x}"[:digits]
    assert token not in masked(f"{around} share_{token} {around}")


@pytest.mark.parametrize("text", SECRETS)
@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_what_looks_like_a_credential_is_not_told(text: str, times: int) -> None:
    """Wherever it stands, also where every character of it was percent-encoded, once or more."""
    coded = text
    for _ in range(times):
        coded = "".join(f"%{ord(each):02x}" for each in coded) if times == 1 else quote(coded, safe="")
    for path in (f"/{coded}", f"/v1/streams/{coded}/events", f"there is no stream '{coded}'", f"/a/{coded}?b"):
        found = masked(path)
        assert SECRETS[text] not in found
        assert "***" in found


@pytest.mark.parametrize(
    "text",
    [
        "share_feed",
        "share",
        "",
        "gen_0123456789abcdef0123456789abcdef",
        "/v1/streams/gen_0123456789abcdef0123456789abcdef/events",
        "/v1/topics/3e5a1f6c-0b7d-4c7e-9b51-1f2e3d4c5b6a/events",
        "/room/the-quarterly-planning-meeting-of-the-platform-team",
        "conn_9b1c04f2a7d35e68",
        "chatcmpl-0123456789abcdef0123456789abcdef",
        "claude-3-5-sonnet-20241022",
        "/v1/topics/a%20b/messages",
        "there is no model 'meta-llama/Llama-3.1-8B-Instruct'",
        "tg_ci",
        "use the header authorization: Bearer TOKEN.",
        "there is no model 'Llama-3_3-Nemotron-Super-49B-v1_5-FP8'",
    ],
)
def test_untouched(text: str) -> None:
    """Other names are told as they are."""
    assert masked(text) == text


def test_what_was_meant_to_be_a_query() -> None:
    """A path with `%3F` in it was sent by a client that encoded too much."""
    assert masked_path("/v1/streams?x=1") == "/v1/streams?***"
