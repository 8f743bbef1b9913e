"""The JavaScript client in Node, at a real server, with what lies between them coming and going."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cable import Cable, laid
from eventually_kit import eventually
from node_kit import Follower, following, run
from restart_kit import Restartable

from tidegate.gate.api_keys import key_sha256
from tidegate.testing.process import running

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("transport", ["sse", "websocket"])

SERVER = """
[limits]
requests_per_minute = 0
max_message_bytes = 50_000
[delivery]
heartbeat_seconds = 1
[store]
url = "sqlite:///logs.db"
lease_seconds = 1
[[models]]
name = "replay"
provider = "replay"
tokens = 80
rate = 60
"""
KEY = "of a page/=="
"""No subprotocol may have all of its characters."""
OLD_KEY = "tg_of-yesterday"


def guarded(*keys: str) -> str:
    return SERVER + "".join(
        f'''
[[auth.keys]]
name = "page-{number}"
sha256 = "{key_sha256(key)}"
scopes = ["subscribe"]
'''
        for number, key in enumerate(keys)
    )


ASKED = {"model": "replay", "prompt": "Once upon a time"}


def post(url: str, body: object) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def status(url: str, stream: str) -> str:
    with urllib.request.urlopen(f"{url}/v1/streams/{stream}", timeout=30) as answer:
        return json.load(answer)["status"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "tidegate.toml").write_text(SERVER)
    with running("--config", "tidegate.toml", cwd=folder) as process:
        assert process.ready, process.stderr()
        yield process.url


@pytest.fixture
def cable(server: str) -> Iterator[Cable]:
    with laid(server) as between:
        yield between


@pytest.fixture
def follow() -> Iterator[Callable[..., Follower]]:
    """Starts programs that follow: `follow(url, body=…, transport="sse")`."""
    with ExitStack() as stack:

        def start(base: str, **options: Any) -> Follower:
            return stack.enter_context(following(base, **options))

        yield start


def is_whole(follower: Follower) -> None:
    """It has every event once, in order, and the text is the server's."""
    end = follower.until("end", "completed")
    offsets = [int(event["cursor"].split("-")[1]) for event in follower.events()]
    assert offsets == sorted(set(offsets))
    assert follower.text() == end["whole"]
    assert end["whole"]
    assert (end["counts"]["duplicates"], end["counts"]["gaps"]) == (0, 0)


@BOTH
def test_an_answer_goes_on_where_it_broke(cable: Cable, follow: Callable[..., Follower], transport: str) -> None:
    """After a broken connection come the events after the last one, and none twice."""
    follower = follow(cable.url, body=ASKED, transport=transport, maxDelay=50)
    follower.until("event", "delta")
    cable.cut()
    assert follower.until("state", "reconnecting")["error"]["status"] == 0
    cable.mend()
    follower.until("state", "streaming")
    is_whole(follower)


def test_a_program_can_cut_its_own_connection(server: str, follow: Callable[..., Follower]) -> None:
    """It comes back by itself, so that anyone can see it come back."""
    follower = follow(server, body=ASKED, transport="websocket", maxDelay=50)
    follower.until("event", "delta")
    follower.tell("cut")
    follower.until("state", "reconnecting")
    is_whole(follower)


def test_a_server_that_was_killed_says_what_became_of_an_answer(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    """The reader waits for it, and gets the end that the restarted process has written."""
    with Restartable(tmp_path, SERVER) as server:
        follower = follow(server.url, body=ASKED, maxDelay=200, attempts=1000)
        follower.until("event", "delta")
        server.restart()
        end = follower.until("event", "failed")
        assert end["data"]["error"]["code"] == "interrupted"
        assert follower.until("end", "failed")["whole"] == follower.text()


async def test_offline_nothing_is_asked(cable: Cable, server: str, follow: Callable[..., Follower]) -> None:
    """After the last attempt a page asks nothing until something wakes the reader, which goes on at its cursor."""
    follower = follow(cable.url, body=ASKED, attempts=2, maxDelay=50, isPage=True)
    stream = follower.until("start")["start"]
    follower.until("event", "delta")
    asked = cable.connections
    cable.cut()
    follower.until("state", "offline")
    assert cable.connections == asked + 2
    cable.mend()
    await eventually(lambda: status(server, stream) == "completed", within=30)
    assert cable.connections == asked + 2
    follower.tell("call")
    is_whole(follower)


def test_a_silent_connection_is_replaced(cable: Cable, follow: Callable[..., Follower]) -> None:
    """Nobody says that it is dead: the heartbeats that are missing do, also where an answer does not even begin."""
    follower = follow(cable.url, body=ASKED, maxDelay=20)
    follower.until("event", "delta")
    cable.hold()
    for _ in range(2):
        said = follower.until("state", "reconnecting")
        while not said["delay"]:
            said = follower.until("state", "reconnecting")
        assert said["error"] == {"status": 0, "message": "The connection went silent."}
    cable.mend()
    follower.until("state", "streaming")
    is_whole(follower)


def test_the_same_token_is_the_same_socket(tmp_path: Path) -> None:
    """Nobody speaks as somebody else, whatever the function gives; one key is one answer for all who ask with it."""
    (tmp_path / "tidegate.toml").write_text(
        guarded(KEY, OLD_KEY).replace('["subscribe"]', '["generate", "read", "subscribe"]')
    )
    with running("--config", "tidegate.toml", cwd=tmp_path) as process:
        found = json.loads(run("shared.mjs", process.url, KEY, OLD_KEY))
    assert found == {
        "sockets": [1, 2],
        "owner": [False, True],
        "ends": ["completed", "completed", "completed", 1],
        "cookie": [401, ["connecting", "reconnecting", "reconnecting"]],
    }


def test_strangers_are_told_from_the_server() -> None:
    """Silence, pages of proxies and foreign answers end at once, or are broken connections."""
    assert json.loads(run("strangers.mjs")) == {
        "token over sse": ["AbortError 20", 0, 0],
        "token over websocket": ["AbortError 20", 0, 0],
        "nobody answers": "TidegateError connection_broken",
        "a page": ["TidegateError malformed_answer", "TidegateError malformed_answer", 2],
        "foreign JSON": "TidegateError malformed_answer",
        "a token of no header": "TypeError undefined",
        "a fetch before this one": ["too", "Bearer tg_key", "application/json", "k"],
        "no base": ["`base` is missing.", "`base` is missing.", "`base` is missing."],
        "no reason": None,
        "pages of a proxy": ["completed", 4],
        "words of the server": "TidegateError stream_not_found",
        "offline": ["TidegateError", "offline", "e-1"],
        "retried offline": "completed",
        "retried while it hangs": "completed",
        "asked to wait": 1,
        "an endless line": "TidegateError malformed_answer",
    }


def test_a_token_that_was_refused_is_asked_for_once_more(tmp_path: Path, follow: Callable[..., Follower]) -> None:
    """A function is told so, and what it gives then counts, over either transport."""
    (tmp_path / "tidegate.toml").write_text(guarded(KEY))
    with running("--config", "tidegate.toml", cwd=tmp_path) as process:
        for transport in ("sse", "websocket"):
            follower = follow(process.url, topic="news", transport=transport, tokens=[OLD_KEY, KEY])
            follower.until("event", "subscribed")
            asked = [(said["token"], said["refused"]) for said in follower.said if "token" in said]
            assert asked == [(OLD_KEY, False), (KEY, True)]
            follower = follow(process.url, topic="news", transport=transport, tokens=["wrong", "wrong too"])
            assert follower.until("error")["status"] == 401


def test_a_token_that_is_withdrawn_is_followed_by_another(tmp_path: Path, follow: Callable[..., Follower]) -> None:
    """The function is asked for the next one, and nobody sees a break."""
    config = tmp_path / "tidegate.toml"
    config.write_text(guarded(OLD_KEY, KEY))
    with running("--config", "tidegate.toml", cwd=tmp_path) as process:
        followers = [
            follow(process.url, topic="news", transport=transport, tokens=[OLD_KEY, KEY])
            for transport in ("sse", "websocket")
        ]
        for follower in followers:
            follower.until("event", "subscribed")
        config.write_text(guarded(KEY))
        process.signal(signal.SIGHUP)
        for follower in followers:
            follower.until("event", "subscribed")
            assert [said["token"] for said in follower.said if "token" in said] == [OLD_KEY, KEY]
            assert {said["state"] for said in follower.said if "state" in said} == {"connecting", "streaming"}


@BOTH
def test_a_topic_is_followed_through_breaks(
    cable: Cable, server: str, follow: Callable[..., Follower], transport: str
) -> None:
    """What is published meanwhile comes once the connection is back, each message once."""
    follower = follow(cable.url, topic=f"news-{transport}", transport=transport, maxDelay=50, attempts=1000)
    messages = f"{server}/v1/topics/news-{transport}/messages"
    follower.until("event", "subscribed")
    post(messages, {"data": 1})
    follower.until("event", "message")
    cable.cut()
    follower.until("state", "reconnecting")
    post(messages, {"data": 2})
    post(messages, {"data": 3, "state": True})
    cable.mend()
    follower.until("event", "subscribed")
    follower.until("event", "message")
    follower.until("event", "message")
    assert [event["data"]["data"] for event in follower.events() if event["event"] == "message"] == [1, 2, 3]
    follower.tell("leave")
    assert follower.until("error")["error"] == "AbortError"


@BOTH
def test_what_begins_in_the_background_is_followed(
    server: str, follow: Callable[..., Follower], transport: str
) -> None:
    """Its first answer has no events; nobody sees a break."""
    follower = follow(server, body={**ASKED, "background": True}, transport=transport)
    is_whole(follower)
    assert [said["state"] for said in follower.said if "state" in said] == ["connecting", "streaming", "ended"]


def test_a_question_too_long_for_a_socket_is_refused(server: str, follow: Callable[..., Follower]) -> None:
    """Asked again it would be as long."""
    follower = follow(server, body={**ASKED, "prompt": "x" * 60_000}, transport="websocket")
    refused = follower.until("error")
    assert (refused["status"], refused["code"]) == (413, "body_too_large")
    assert [said["state"] for said in follower.said if "state" in said] == ["connecting"]


@BOTH
def test_what_is_not_there_is_refused(server: str, follow: Callable[..., Follower], transport: str) -> None:
    """Another try would not help: the promise says so at once."""
    follower = follow(server, stream="gen_00000000000000000000000000000000", transport=transport)
    refused = follower.until("error")
    assert (refused["error"], refused["status"], refused["code"]) == ("TidegateError", 404, "stream_not_found")
