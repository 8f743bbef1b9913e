"""Streams that a program outside the server fills, and crashes on both sides."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from api_kit import call, fetch

from tidegate.core.sse import ServerSentEvent
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
