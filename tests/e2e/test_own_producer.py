"""Streams that a program outside the server fills, and crashes on both sides."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_kit import call, fetch
from restart_kit import Restartable

from tidegate.client.producer import Producer
from tidegate.client.session import Session
from tidegate.client.terminal.tail import _connection
from tidegate.core.sse import ServerSentEvent
from tidegate.errors import Fenced, UpstreamUnreachable
from tidegate.testing.process import running

pytestmark = pytest.mark.anyio

AGENT = Path(__file__).parents[2] / "examples" / "agent.py"
CONFIG = """
[limits]
requests_per_minute = 0

[store]
url = "sqlite:///logs.db"
lease_seconds = 5
[[models]]
name = "replay"
provider = "replay"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tidegate.toml").write_text(CONFIG)
    return tmp_path


def followed(url: str, stream: str) -> Iterator[ServerSentEvent]:
    """A reader that comes back at its position, whatever breaks."""
    session = Session(stream, after=None, random=lambda: 0.0)
    while not session.ended:
        try:
            yield from _connection(session, url, {})
        except UpstreamUnreachable:
            session.lost()


def text_of(events: list[ServerSentEvent]) -> str:
    return "".join(json.loads(event.data)["text"] for event in events if event.event == "delta")


def agent(url: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(AGENT), url, "report-17"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_an_agent_that_crashes_goes_on_at_the_right_offset(folder: Path) -> None:
    """Killed in the middle and started again, it fills the same stream to its end; its reader notices nothing."""
    with running("--config", "tidegate.toml", cwd=folder) as server, agent(server.url) as first:
        assert first.stdout is not None
        stream = first.stdout.readline().partition(":")[0]
        async with call(f"{server.url}/v1/streams/{stream}/events") as answer:
            events: list[ServerSentEvent] = []
            async for event in answer.events():
                events.append(event)
                if len(events) == 6:
                    first.send_signal(signal.SIGKILL)
                    second = agent(server.url)
            assert second.wait(10) == 0
            second.stdout.close()  # type: ignore[union-attr]
    assert text_of(events) == "".join(f"Step {number} is done. " for number in range(1, 21))
    assert [int(event.id.split("-")[1]) for event in events] == list(range(1, 23))
    assert events[-1].event == "completed"


def test_a_server_that_is_killed_loses_nothing_that_a_producer_was_told(tmp_path: Path) -> None:
    """kill -9 and restart, five times: the helper repeats, the reader comes back, and each piece is there once."""
    said = [f"piece {number}. " for number in range(100)]
    seen: list[ServerSentEvent] = []

    with Restartable(tmp_path, CONFIG) as server:
        with Producer(server.url, key="k", sleep=lambda _: None) as stream:
            reader = threading.Thread(target=lambda: seen.extend(followed(server.url, stream.id)), daemon=True)
            reader.start()
            for number, piece in enumerate(said):
                if number % 20 == 10:
                    server.restart()
                stream.say(piece)
        reader.join(20)
    assert text_of(seen) == "".join(said)
    assert seen[-1].event == "completed"
    offsets = [int(event.id.split("-")[1]) for event in seen]
    assert offsets == sorted(set(offsets))


async def test_a_second_instance_takes_over_and_fences_the_first(folder: Path) -> None:
    """The same key is the same stream: it has the text so far, and who had it before can say nothing more."""
    with running("--config", "tidegate.toml", cwd=folder) as server:
        first = Producer(server.url, key="k")
        first.say("one ")
        with Producer(server.url, key="k") as second:
            assert (second.id, second.text) == (first.id, "one ")
            with pytest.raises(Fenced):
                first.say("not said")
            second.say("two")
        first.close()
        _, _, snapshot = await fetch(f"{server.url}/v1/streams/{first.id}")
        assert (snapshot["status"], snapshot["text"]) == ("completed", "one two")
        third = Producer(server.url, key="k")
        third.close()
        assert third.ended


async def test_a_producer_that_raises_ends_its_stream_as_failed(folder: Path) -> None:
    """The exception's name is what readers are told; its text might hold anything."""
    with running("--config", "tidegate.toml", cwd=folder) as server:
        stream = Producer(server.url, key="k")
        stream.say("so far ")
        stream.__exit__(ZeroDivisionError, ZeroDivisionError("secret"), None)
        _, _, snapshot = await fetch(f"{server.url}/v1/streams/{stream.id}")
        assert (snapshot["status"], snapshot["error"]["message"]) == ("failed", "ZeroDivisionError")


async def test_bad_appends_name_the_field(folder: Path) -> None:
    """A producer's mistake is a typed error with its place, and changes nothing."""
    with running("--config", "tidegate.toml", cwd=folder) as server:
        status, headers, opened = await fetch(f"{server.url}/v1/streams", "POST", {"producer": "client"})
        assert (status, opened["status"], headers["tidegate-stream"]) == (201, "running", opened["id"])
        url = f"{server.url}/v1/streams/{opened['id']}/append"
        good = {"lease": opened["lease"]["token"], "expected_offset": 1}
        delta = {"type": "delta", "data": {"text": "x"}}
        for events, param in (
            ([{"type": "started", "data": {}}], "events.0.type"),
            ([{"type": "delta", "data": {"text": 1}}], "events.0.data.text"),
            ([{"type": "delta", "data": {}}], "events.0.data.text"),
            ([{"type": "completed", "data": {"finish_reason": "stop"}}, delta], "events.1"),
        ):
            status, _, body = await fetch(url, "POST", {**good, "events": events})
            assert (status, body["error"]["param"]) == (400, param)
        status, _, body = await fetch(url, "POST", {**good, "expected_offset": 5, "events": [delta]})
        assert (status, body["error"]["code"], body["error"]["offset"]) == (409, "offset_mismatch", 1)
        status, _, body = await fetch(url, "POST", {**good, "events": [delta]})
        assert (status, body["cursor"].split("-")[1]) == (200, "2")
