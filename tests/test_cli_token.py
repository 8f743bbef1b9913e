from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import jwt
import pytest
from cli_kit import Run

from tidegate.core.principal import OF_OPERATORS, SCOPES, Principal
from tidegate.gate.jwt.tokens import Tokens

SECRET = "correct horse battery staple, twice over"
CONFIGURED = '[auth]\njwt_secret_env = "JWT_SECRET"\n'


@pytest.fixture
def token(tidegate: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `tidegate token` in this process, in a folder where it is configured."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    Path("tidegate.toml").write_text(CONFIGURED)
    return partial(tidegate, "token")


def test_a_token_is_all_that_is_printed(token: Run) -> None:
    """It is accepted by a server with the same secret, for an hour, and may do what a key may."""
    code, out, err = token("--sub", "anna")
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = Tokens(secret=SECRET.encode(), keys=None, issuer="", audience="").check(out.strip())
    assert isinstance(found, Principal)
    assert (found.name, found.scopes) == ("jwt::anna", SCOPES - OF_OPERATORS)
    assert 3500 < (found.expires_at or 0) - time.time() <= 3630


@pytest.mark.parametrize(("ttl", "seconds"), [("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604800)])
def test_the_configured_issuer_and_audience_are_in_it(token: Run, ttl: str, seconds: int) -> None:
    """With the scopes and the duration that were asked for, from the file that was named."""
    Path("other.toml").write_text(CONFIGURED + 'issuer = "https://a"\naudience = "us"\n')
    arguments = ("--sub", "a b", "--scope", "publish", "--scope", "read", "--scope", "read", "--ttl", ttl)
    _, out, _ = token(*arguments, "--config", "other.toml")
    claims = jwt.decode(out.strip(), SECRET, algorithms=["HS256"], issuer="https://a", audience="us")
    assert claims["exp"] - claims["iat"] == seconds
    assert (claims["sub"], claims["scope"]) == ("a b", "publish read")


@pytest.mark.parametrize(
    ("config", "secret", "message"),
    [
        ("", SECRET, "auth.jwt_secret_env = '' (default): it is not set"),
        (CONFIGURED, "", "auth.jwt_secret_env = 'JWT_SECRET' (tidegate.toml): the environment has no such variable"),
        (
            CONFIGURED,
            "short",
            "auth.jwt_secret_env = 'JWT_SECRET' (tidegate.toml): the secret must have at least 32 bytes",
        ),
    ],
)
def test_without_a_secret(token: Run, monkeypatch: pytest.MonkeyPatch, config: str, secret: str, message: str) -> None:
    """One line that says what is missing, and exit code 2."""
    Path("tidegate.toml").write_text(config)
    monkeypatch.setenv("JWT_SECRET", secret)
    code, out, err = token("--sub", "anna")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"tidegate: {message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--sub'"),
        (("--sub", ""), "a token cannot have the subject ''"),
        (("--sub", "a", "--scope", "write"), "'write' is not one of"),
        (("--sub", "a", "--ttl", "0s"), "'0s' is no duration such as 30s, 15m, 1h or 7d"),
        (("--sub", "a", "--ttl", "1"), "'1' is no duration"),
        (("--sub", "a", "--ttl", "-1h"), "'-1h' is no duration"),
        (("--sub", "a", "--ttl", "1h30m"), "'1h30m' is no duration"),
    ],
)
def test_wrong_usage(token: Run, arguments: tuple[str, ...], message: str) -> None:
    """Nothing is minted that nobody could use."""
    code, out, err = token(*arguments)
    assert (code, out) == (2, "")
    assert message in err
