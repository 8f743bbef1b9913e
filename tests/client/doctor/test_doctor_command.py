"""The command as a user runs it: exit codes, words, where the key goes, and what is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from cli_kit import Run
from doctor_kit import PATIENCE, SETTINGS
from eventually_kit import eventually
from msgspec.structs import replace
from scripted_kit import Scripted, head

from tidegate import Tidegate
from tidegate.client.doctor import command
from tidegate.config import AuthSettings
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.testing.process import TIDEGATE, running
from tidegate.testing.server import serving

KEY = "tg_for_that_origin_alone"
JSON = "application/json"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is watched for long."""
    monkeypatch.setattr(command, "Patience", lambda: PATIENCE)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TIDEGATE_API_KEY", KEY)
    return KEY


def refusal(status: int, code: str, message: str) -> bytes:
    error = {"type": "t", "code": code, "message": message, "param": None, "request_id": "req_1"}
    return head(status, kind=JSON) + json.dumps({"error": error}).encode()


def test_a_good_deployment_is_said_to_be_one(tidegate: Run, tmp_path: Path) -> None:
    """In words, and as an object with the names of the contract; nothing is on stderr."""
    with running("--store", "memory://", "--model", "replay", cwd=config(tmp_path)) as server:
        words = tidegate("doctor", server.url)
        data = tidegate("doctor", server.url.removeprefix("http://") + "/", "--json")
    assert (words.code, words.err, data.code, data.err) == (0, "", 0, "")
    assert words.out.startswith(f"{server.url}: nothing found; it streams.\n\nMeasured:\n    http_version ")
    told = json.loads(data.out)
    assert (told["url"], told["findings"]) == (server.url, [])
    assert told["measured"]["post_arrivals"] == 1


def config(folder: Path) -> Path:
    (folder / "tidegate.toml").write_text('[[models]]\nname = "replay"\nprovider = "replay"\n')
    return folder


def test_a_finding_has_words_and_a_fix(tidegate: Run) -> None:
    """And exit code 1, whether in words or as an object."""
    words = tidegate("doctor", "http://127.0.0.1:9")
    data = tidegate("doctor", "http://127.0.0.1:9", "--json")
    assert (words.code, data.code) == (1, 1)
    headline, _, finding, fix, *_ = words.out.splitlines()
    assert headline == "http://127.0.0.1:9: 1 finding"
    assert (
        finding == "unreachable: http://127.0.0.1:9 does not answer: the connection was refused; is the server running?"
    )
    assert fix.startswith("    tidegate: is it running")
    (told,) = json.loads(data.out)["findings"]
    assert set(told) == {"code", "message", "fix"}
    assert {line.partition(": ")[0] for line in told["fix"].splitlines()} == {
        *("tidegate", "nginx", "Caddy", "Traefik", "Cloudflare", "AWS ALB"),
    }


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("example.com", "write https://example.com"),
        ("localhost.example.com", "write https://localhost.example.com"),
        ("127.example.com:80", "write https://127.example.com:80"),
        ("ftp://example.com", "is no URL of a deployment"),
        ("https://user:secret@example.com", "'https://***@example.com' is no URL of a deployment"),
        ("https://example.com/?key=secret", "'https://example.com/?***' is no URL of a deployment"),
        ("", "is no URL of a deployment"),
    ],
)
def test_a_wrong_url_is_told_at_once(tidegate: Run, url: str, words: str) -> None:
    """With exit code 2, and without what may be a secret."""
    outcome = tidegate("doctor", url)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert "secret" not in outcome.err


def test_a_scheme_in_upper_case_is_one(tidegate: Run, tmp_path: Path) -> None:
    """Also for the WebSocket."""
    with running("--store", "memory://", "--model", "replay", cwd=config(tmp_path)) as server:
        outcome = tidegate("doctor", server.url.upper())
    assert (outcome.code, outcome.err) == (0, "")


def test_no_redirect_is_followed(tidegate: Run, key: str) -> None:
    """It is said in words, and the place that it leads to gets neither the key nor anything else."""
    with Scripted(b"") as elsewhere:
        with Scripted(head(308, kind="text/html", location=f"{elsewhere.url}/v1/probe?a=b")) as server:
            outcome = tidegate("doctor", server.url)
        assert elsewhere.requests == []
        asyncio.run(touch(elsewhere.url))
    assert outcome.code == 2
    assert outcome.err.startswith(
        f"tidegate: {server.url} redirects to {elsewhere.url}/v1/probe?***: give that place as the URL"
    )
    assert f"authorization: Bearer {key}" in server.requests[0]


async def touch(url: str) -> None:
    """Lets a server go that waits for a connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([refusal(401, "invalid_credentials", "No key.")], "answers 401: No key. Put a key into TIDEGATE_API_KEY"),
        ([refusal(403, "missing_scope", "No scope.")], "answers 403: No scope. Put a key into TIDEGATE_API_KEY"),
        ([refusal(404, "not_found", "Nothing.")], "the tidegate there is older than this command"),
        (
            [head(200, kind="text/html") + b"<html>"],
            "is not where tidegate answers: POST /v1/probe answers 200\n",
        ),
        ([head(404, kind="text/plain") + b"\x1b[31m"], r"answers 404: '\x1b[31m'"),
    ],
)
def test_who_is_not_let_in_is_told_why(tidegate: Run, answers: list[bytes], words: str) -> None:
    """On stderr, in one line without control characters, with exit code 2."""
    with Scripted(*answers) as server:
        outcome = tidegate("doctor", server.url)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert outcome.err.rstrip("\n").isprintable()


def test_a_key_that_is_not_valid_is_no_finding(tidegate: Run, key: str) -> None:
    """The server says something else to a caller without any."""
    with Scripted(
        refusal(401, "invalid_credentials", "Wrong."), refusal(401, "invalid_credentials", "None.")
    ) as server:
        outcome = tidegate("doctor", server.url)
    assert outcome.code == 2
    assert "The key in TIDEGATE_API_KEY is not the right one" in outcome.err
    assert [f"Bearer {key}" in request for request in server.requests] == [True, False]


def test_an_endless_answer_is_not_read(tidegate: Run) -> None:
    """Beyond a mebibyte."""
    with Scripted(head() + b"x" * (1 << 20) + b"x") as server:
        outcome = tidegate("doctor", server.url)
    assert outcome.code == 1
    assert "answers with more than 1048576 bytes" in outcome.out


def test_strangers_do_not_steer_the_terminal(tidegate: Run) -> None:
    """Their words are shown as escapes, in both forms."""
    answer = head(500, kind="text/plain", server="\x9b2J") + "\x1b]0;t\x07\u202e".encode()
    with Scripted(answer, answer) as server:
        outcomes = [tidegate("doctor", server.url, *flags) for flags in ((), ("--json",))]
    for outcome in outcomes:
        assert outcome.code == 1
        assert outcome.out.replace("\n", "").isprintable()
    assert r"\x1b]0;t\x07\u202e" in outcomes[0].out


@pytest.mark.anyio
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
async def test_whoever_interrupts_it_leaves_no_streams(tmp_path: Path, which: signal.Signals) -> None:
    """Those that were being filled are deleted, and the exit code is that of an interrupted client."""
    app = Tidegate(SETTINGS)
    async with serving(app) as url:
        process = await asyncio.create_subprocess_exec(*TIDEGATE, "doctor", url, cwd=tmp_path)
        await eventually(lambda: app.service.is_open and len(list(app.service.node.live)) > 0, within=30)
        process.send_signal(which)
        assert await process.wait() == 130
        assert list(app.service.node.live) == []
        assert (await listed(url)) == []
    await app.close()


async def listed(url: str) -> list[object]:
    from tidegate.client.doctor.caller import Caller

    answer = await Caller(url, "", seconds=20, later=0).call("GET", "/v1/streams")
    return json.loads(answer.body)["data"]


@pytest.mark.anyio
@pytest.mark.parametrize("scopes", [("generate",), ("generate", "read"), ("generate", "cancel")])
async def test_a_key_that_lacks_a_scope_is_not_enough(scopes: tuple[str, ...]) -> None:
    """It is the key that is wrong, not the deployment."""
    from doctor_kit import examined

    from tidegate.errors import ConfigError

    keys = (ApiKey(name="doctor", sha256=key_sha256(KEY), scopes=scopes),)  # type: ignore[arg-type]
    app = Tidegate(replace(SETTINGS, auth=AuthSettings(keys=keys)))
    async with serving(app) as url:
        with pytest.raises(ConfigError, match="the key in TIDEGATE_API_KEY is not enough"):
            await examined(url, key=KEY)
    await app.close()
    assert os.environ.get("TIDEGATE_API_KEY") is None
