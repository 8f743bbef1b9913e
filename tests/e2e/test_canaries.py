"""Secrets, prompts and answers are planted everywhere, and looked for in all that leaves a real server.

In the tables `<name>` stands for a canary, `<form|name>` for it in another form; names in capitals are no secrets.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import pytest
from api_kit import call, fetch
from restart_kit import Restartable

from tidegate.gate.api_keys import key_sha256
from tidegate.testing.process import TIDEGATE
from tidegate.testing.upstream import Close, FakeUpstream, Raw

pytestmark = pytest.mark.anyio

TOPIC_EVENTS = re.compile("/v1/topics/.*/events")
PLACE = re.compile(r"<(?:(\w+)\|)?([\w-]+)>")
FORMS: dict[str, Callable[[str], str]] = {
    "": str,
    "percent": lambda text: "".join(f"%{ord(each):02x}" for each in text),
    "base64": lambda text: b64encode(f"user:{text}".encode()).decode(),
    "escaped": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
}

CONFIG = """
store = {url = "sqlite:///logs.db", lease_seconds = 60}
server = {drain_seconds = 1}
limits = {requests_per_minute = 0, max_body_bytes = 4096, max_header_bytes = 4096}
delivery = {max_connection_seconds = 2}
models = [
  {name = "says", provider = "replay", text = "Yes <answer> ", tokens = 4, rate = 0},
  {name = "slow", provider = "replay", text = "Yes <answer> ", rate = 20},
  {name = "raises", provider = "python", target = "canary_agent:answer"},
  {name = "relays", provider = "openai", base_url = "<UPSTREAM>?key=<upstream-query>", api_key_env = "CANARY_KEY"},
  {name = "away", provider = "openai", base_url = "http://user:<upstream-password>@127.0.0.1:1/?k=<upstream-query>"},
  {name = "smollm2", provider = "llama", parallel = 1, context = 512},
]
"""
AUTH = """
[auth]
keys = [{name = "ci", sha256 = "<SHA256>", scopes = ["generate", "read", "cancel", "publish", "subscribe"]}]
jwt_secret_env = "CANARY_SECRET"
jwks_url = "http://127.0.0.1:1/jwks?key=<jwks-query>"
"""
AGENT = "async def answer(request):\n    yield 'Yes <answer>'\n    raise ValueError('it knows <raised>')\n"
# What an operator's own code raises is the operator's to read; clients are told no more than its type.
LOGGED = {"raised"}

# Status with and without authentication, method, target, and headers after two spaces each.
CREDENTIALS = """
200 200 GET /v1/models  authorization: Bearer <key>
200 200 GET /v1/models  authorization: Bearer <jwt>
200 200 GET /v1/models  cookie: tidegate_token=<key>
401 200 GET /v1/models  authorization: Bearer <wrong-key>
401 200 GET /v1/models  authorization: <without-scheme>
401 200 GET /v1/models  authorization: Basic <base64|basic>
401 200 GET /v1/models  cookie: tidegate_token=<wrong-cookie>; other=<other-cookie>
401 200 GET /v1/models  authorization: Bearer <expired>
401 200 GET /v1/models  authorization: Bearer <forged>
401 200 GET /v1/models  authorization: Bearer <other-alg>
503 200 GET /v1/models  authorization: Bearer <issuers>
401 200 GET /v1/models?access_token=<key>
200 200 GET /v1/streams/<STREAM>/events?access_token=<key>
404 200 GET /v1/streams/<STREAM>/events?access_token=<jwt>
401 200 GET /v1/streams/<STREAM>/events?access_token=<wrong-query>
400 400 GET /v1/streams/<STREAM>/events?access_token=<key>&access_token=<second-query>
404 404 GET /v1/streams/<STREAM>/events%3Faccess_token=<key>
401 404 GET /v1/streams/<STREAM>%3Faccess_token=<query-in-path>
404 404 GET /v1/streams/<STREAM>%3Faccess_token=<query-in-path>  authorization: Bearer <key>
200 200 GET /v1/streams/<STREAM>/events?access_token=<share>
404 404 GET /v1/streams/<key>  authorization: Bearer <key>
404 404 GET /v1/streams/<percent|key>/events  authorization: Bearer <key>
404 404 GET /v1/streams/<jwt>  authorization: Bearer <key>
404 404 GET /v1/streams/%2562earer%2520<wrong-key>  authorization: Bearer <key>
404 404 GET /<key>/v1/models
404 404 DELETE /v1/streams/gen_1;access_token=<key>  authorization: Bearer <key>
200 200 GET /v1/topics/<key>/presence  authorization: Bearer <key>
200 200 GET /v1/topics/<second-query>/events?after=earliest  authorization: Bearer <key>
400 400 GET /v1/streams?limit=<key>  authorization: Bearer <key>
400 400 GET /v1/streams?<key>=1&<key>=2  authorization: Bearer <key>
403 403 POST /v1/streams/<STREAM>/cancel  authorization: Bearer <share>
401 401 GET /v1/streams/<STREAM>/events?access_token=<revoked>
200 200 GET /s/<share>
200 200 HEAD /s/<share>
200 200 GET /s/<share>?access_token=<key>  referer: http://127.0.0.1/s/<share>
405 405 POST /s/<share>
404 404 GET /s/x/<share>
404 404 GET //s//<share>
404 404 GET /s%252F<share>
404 404 GET /s/<share>%0a/<after-it>
401 200 GET /v1/topics/hall/events?access_token=<wrong-query>
200 200 GET /?<query>
404 404 GET /web/x.js?<query>
200 200 GET http://user:<in-absolute-form>@127.0.0.1/v1/models?<query>  authorization: Bearer <key>
426 426 GET /v1/ws?access_token=<key>  authorization: Bearer <key>  sec-websocket-protocol: bearer.<subprotocol>
"""

KEYED = ["authorization: Bearer <key>"]
CHAT = "/v1/chat/completions"
ASK = {"model": "says", "prompt": "<prompt>", "metadata": {"k": "<metadata>", "<metadata-key>": "v"}}
LEASE = {"lease": "<lease>", "expected_offset": 1, "events": [{"type": "delta", "data": {"text": "<appended>"}}]}

# Status, method, target, body, further headers, and what the caller may be told again of what it has sent.
CONTENT: list[tuple[int, str, str, object, str, str]] = [
    (200, "POST", "/v1/streams", ASK, "idempotency-key: <idem>", "prompt answer metadata metadata-key"),
    (409, "POST", "/v1/streams", {"model": "says", "prompt": "<other>"}, "idempotency-key: <idem>", ""),
    (400, "POST", "/v1/streams", {**ASK, "<field>": "<value>"}, "", "field"),
    (400, "POST", "/v1/streams", '{"model": "says", "prompt": "<malformed>', "", ""),
    (400, "POST", "/v1/streams", '{"model": "says", "prompt": "<escaped|malformed>\\ud800 <malformed>"}', "", ""),
    (413, "POST", "/v1/streams", {"model": "says", "prompt": "<long>" * 200}, "", ""),
    (400, "POST", "/v1/streams", {**ASK, "messages": [{"role": "<role>", "content": "<prompt>"}]}, "", "role"),
    (200, "POST", CHAT, {"model": "says", "messages": [{"role": "user", "content": "<prompt>"}]}, "", "answer"),
    (502, "POST", "/v1/streams", {"model": "raises", "prompt": "<prompt>"}, "", "prompt answer"),
    (502, "POST", "/v1/streams", {"model": "away", "prompt": "<prompt>"}, "", "prompt"),
    (200, "POST", "/v1/streams", {"model": "smollm2", "prompt": "<prompt>", "max_tokens": 2}, "", "prompt"),
    (200, "POST", "/v1/streams/<STREAM>/cancel", {"reason": "<reason>"}, "", ""),
    (200, "POST", "/v1/streams/<LEASED>/append", LEASE, "", ""),
    (404, "POST", "/v1/streams/<lease>/append", LEASE, "", ""),
    (401, "POST", "/v1/session", {"token": "<wrong-session>"}, "", ""),
    (400, "GET", "/v1/streams/<STREAM>/events?after=<after>", None, "", "after"),
    (400, "GET", "/v1/models", None, "host: <host>.example", "host"),
    (403, "POST", "/v1/streams", ASK, "origin: http://<origin>.example", "origin"),
    (200, "GET", "/v1/models", None, "user-agent: <agent>  traceparent: <trace>  tracestate: a=<state>", ""),
    (400, "GET", "/v1/models", None, "<bad name>: x", ""),
    (431, "GET", "/v1/models", None, "x-long: " + "<header>" * 200, ""),
    (200, "POST", "/v1/topics/room/messages", {"data": "<published>"}, "idempotency-key: <idem>", ""),
    (200, "GET", "/v1/topics/room/events?after=earliest", None, "", "published"),
    (200, "GET", "/openapi.json", None, "", ""),
]

ECHO = "/?key=<upstream-query> Bearer <upstream-key> Basic <base64|upstream-password> <upstream-password>: <prompt>"
REFUSED = json.dumps({"error": {"message": ECHO, "code": "no <prompt>", "type": ECHO, "param": ECHO}})
EVENT = "200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: "
UPSTREAM = (
    (401, f"401 No\r\n\r\n{REFUSED}"),
    (502, f"500 {ECHO}\r\n\r\n{ECHO}"),
    (502, f"{EVENT}{REFUSED}\n\n"),
    (502, f"{EVENT}{{'choices': '<answer>'}}\n\n".replace("'", '"')),
    (502, f"{EVENT}{{'choices': [{{'delta': {{'content': '<answer> \xff'}}}}]}}\n\n".replace("'", '"')),
    (502, "<answer> is no HTTP\r\n\r\n"),
)

# Exit code, arguments and tidegate.toml.
COMMANDS = (
    (0, "config", CONFIG + AUTH),
    (0, "config", "store.url = 'rediss://u:<p>@h/0'"),
    (2, "config", "store.url = 'rediss://<p>@h/0?password=<p>#<p>'"),
    (2, "config", "store.url = 'redis://u:<p>/<p>@h:1/0'"),
    (2, "config", "auth.jwks_url = ['https://u:<p>@h/jwks']"),
    (2, "config", "auth.jwt_secret_env = '<p>"),
    (2, "config", "models = [{name = 'a', provider = 'openai', base_url = 'u:<p>@h/v1?key=<p>'}]"),
    (2, "config", "models = [{name = 'a', provider = 'openai', apikey = '<p>'}]"),
    (2, "serve --port 0", "store.url = 'redis+sentinel://u:<p>@h:1'"),
    (2, "serve --port 0", "auth.jwks_url = 'https://u:<p>@h/jwks?key=<p>'"),
    (2, "serve --port 0", "auth.jwt_secret_env = 'CANARY_SHORT'"),
    (2, "serve --port 0 --store u:<p>@h/0", ""),
    (2, "serve --port 0 --upstream u:<p>@h/v1?key=<p>", ""),
    (2, "tail gen_1 --url ftp://u:<p>@h", ""),
)


Row = tuple[int, str, str, list[str], object, set[str]]
"""Status, method, target, headers, body, and what the answer may have in it."""


class Planted(dict[str, str]):
    """Canaries by name; a new name gets one of its own."""

    def __missing__(self, name: str) -> str:
        self[name] = "c" + sha256(f"canary {name}".encode()).hexdigest()[:23]
        return self[name]

    def fill(self, text: object) -> str:
        """The text, or JSON, with its canaries."""
        text = text if isinstance(text, str) else "" if text is None else json.dumps(text)
        return PLACE.sub(lambda place: FORMS[place[1] or ""](self[place[2]]), text)

    def found_in(self, output: str) -> set[str]:
        """The names of the secrets that the output has in it, as they are or in another form."""
        lowered = output.lower()
        secrets = [(name, secret) for name, secret in self.items() if not name.isupper()]
        return {name for name, secret in secrets if any(shape in lowered for shape in shapes(secret))}


@cache
def shapes(secret: str) -> Sequence[str]:
    """In lower case; of a JWT those of its payload and its signature; in base64 at each of its three alignments."""
    found: list[str] = []
    for part in secret.split(".")[-2:]:
        found += (part.lower(), part.encode().hex(), FORMS["percent"](part), FORMS["escaped"](part))
        for shift, spoilt in enumerate((0, 2, 3)):
            encoded = b64encode(b"." * shift + part.encode()).decode()
            found.append(encoded[spoilt : (shift + len(part)) // 3 * 4].lower())
    return found


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Planted:
    planted = Planted()
    planted |= {"SHA256": key_sha256(planted["key"]), "UPSTREAM": "http://127.0.0.1:1/v1"}
    secret = planted["jwt-secret"] * 2
    monkeypatch.setenv("CANARY_KEY", planted["upstream-key"])
    monkeypatch.setenv("CANARY_SHORT", planted["short"])
    monkeypatch.setenv("CANARY_SECRET", secret)
    ends = time.time() + 3600
    kinds = {"jwt": ("HS256", ends), "expired": ("HS256", 1), "other-alg": ("HS384", ends), "forged": ("HS256", ends)}
    for name, (algorithm, expires) in kinds.items():
        claims = {"sub": f"of-{name}", "exp": expires, "scope": "generate read", "note": planted["claim"]}
        key = secret[::-1] if name == "forged" else secret
        planted[name] = jwt.encode(claims, key, algorithm, headers={"kid": planted["kid"]})
    planted["issuers"] = ".".join(["eyJhbGciOiJSUzI1NiJ9", *planted["forged"].split(".")[1:]])
    return planted


def rows(auth: str) -> Iterator[Row]:
    for line in CREDENTIALS.strip().splitlines():
        gated, without, method, rest = line.split(None, 3)
        target, *headers = rest.split("  ")
        yield int(gated if auth else without), method, target, headers, None, {"answer"}
    for status, method, target, body, header, may in CONTENT:
        yield status, method, target, [*KEYED, *filter(None, header.split("  "))], body, set(may.split())
    if auth:
        yield 204, "POST", "/v1/session", [], {"token": "<key>"}, {"key"}
    for status, _ in UPSTREAM:
        yield status, "POST", "/v1/streams", KEYED, {"model": "relays", "prompt": "<prompt>"}, {"prompt", "answer"}


async def exchange(url: str, method: str, target: str, headers: list[str], body: str) -> str:
    """All that the server says to one request, as it comes over the wire."""
    given = [header.partition(":")[0] for header in headers]
    usual = {"host": urlsplit(url).netloc, "content-type": "application/json", "content-length": len(body)}
    added = [f"{name}: {value}" for name, value in usual.items() if name not in given]
    lines = [f"{method} {target} HTTP/1.1", *headers, *added, "connection: close"]
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    try:
        writer.write("\r\n".join([*lines, "", body]).encode("latin-1"))
        async with asyncio.timeout(30):
            return (await reader.read(-1)).decode("latin-1")
    finally:
        writer.transport.abort()


async def prepare(streams: str, planted: Planted) -> dict[str, str]:
    """An ended stream, with a share token that is revoked and one that is not, and a leased one; whose headers."""
    mine = {"authorization": f"Bearer {planted['key']}"}
    _, _, said = await fetch(streams, "POST", {"model": "says", "prompt": planted["prompt"]}, mine)
    assert planted["answer"] in said["text"]
    planted["STREAM"] = said["id"]
    for name in ("revoked", "share"):
        await fetch(f"{streams}/{said['id']}/share", "DELETE", None, mine)
        planted[name] = (await fetch(f"{streams}/{said['id']}/share", "POST", None, mine))[2]["token"]
    _, _, opened = await fetch(streams, "POST", {"producer": "client"}, mine)
    planted["LEASED"], planted["lease"] = opened["id"], opened["lease"]["token"]
    return mine


async def ask_all(url: str, auth: str, planted: Planted) -> list[str]:
    """What the answers have in them that they must not have."""

    async def ask(number: int, row: Row) -> list[str]:
        status, method, target, headers, body, may = row
        fields = [planted.fill(header) for header in (f"x-request-id: row-{number:03}", *headers)]
        reply = await exchange(url, method, planted.fill(target), fields, planted.fill(body))
        assert reply.startswith(f"HTTP/1.1 {status} "), (method, target, headers, body, reply)
        return [f"{name} in the answer to {method} {target}: {reply}" for name in planted.found_in(reply) - may]

    leaks: list[str] = []
    async with asyncio.TaskGroup() as group:
        lasting: list[asyncio.Task[list[str]]] = []
        for number, row in enumerate(rows(auth)):
            if TOPIC_EVENTS.match(row[2]):
                # It ends when its connection has lasted long enough, and nothing of the rest depends on it.
                lasting.append(group.create_task(ask(number, row)))
            else:
                leaks += await ask(number, row)
    return leaks + [leak for task in lasting for leak in task.result()]


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("auth", ["", AUTH], ids=["open", "gated"])
async def test_serve(tmp_path: Path, planted: Planted, auth: str, log_format: str) -> None:
    """No answer has another's secrets, and no log any: not at debug, not after a crash, not while draining."""
    (tmp_path / "canary_agent.py").write_text(planted.fill(AGENT))
    scripts = [[Raw(planted.fill(f"HTTP/1.1 {text}").encode("latin-1")), Close()] for _, text in UPSTREAM]
    async with FakeUpstream(*scripts) as upstream:
        planted["UPSTREAM"] = upstream.url.replace("//", f"//user:{planted['upstream-password']}@")
        logging = f'[observability]\nlog_level = "debug"\nlog_format = "{log_format}"'
        with Restartable(tmp_path, planted.fill(CONFIG + auth + logging)) as server:
            mine = await prepare(streams := f"{server.url}/v1/streams", planted)
            leaks = await ask_all(server.url, auth, planted)
            slow = {"model": "slow", "prompt": planted["prompt"], "stream": True}
            async with call(streams, "POST", slow, mine) as answer:
                assert "delta" in [(await anext(answer.events())).event for _ in range(2)]
                log = server.process.stderr()
                server.restart()
            async with call(streams, "POST", slow, mine) as answer:
                server.process.signal(signal.SIGTERM)
                assert "failed" in [event.event async for event in answer.events()]
            assert await asyncio.to_thread(server.process.wait) == 0
            log += server.process.stderr() + server.process.ready + server.process.line()
    assert len(upstream.requests) == len(scripts)
    written = [f"row-{number:03}" for number, _ in enumerate(rows(auth))]
    assert [each for each in (*written, "was interrupted", "draining") if each not in log] == []
    for line in log.splitlines():
        # An upstream's chunk that cannot be read is shown by its first 100 bytes, which may be of an answer.
        known = LOGGED | ({"answer"} if "upstream_malformed" in line else set())
        leaks += [f"{name} in the log: {line}" for name in planted.found_in(line) - known]
    assert not leaks, "\n".join(leaks)


@pytest.mark.parametrize(("code", "arguments", "config"), COMMANDS)
def test_commands(tmp_path: Path, planted: Planted, code: int, arguments: str, config: str) -> None:
    """What a command prints, or refuses, has no secret in it, also where one was written by mistake."""
    (tmp_path / "tidegate.toml").write_text(planted.fill(config))
    command = [*TIDEGATE, *planted.fill(arguments).split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, planted.found_in(done.stdout + done.stderr) - {"answer"}) == (code, set()), done.stderr
