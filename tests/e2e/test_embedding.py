"""The example application, under each of the servers that people run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tidegate.core.sse import Decoder

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVERS = {
    "uvicorn": ["uvicorn", "fastapi_app:app", "--host", "127.0.0.1", "--port", "{port}"],
    "hypercorn": ["hypercorn", "fastapi_app:app", "--bind", "127.0.0.1:{port}"],
    "granian": ["granian", "fastapi_app:app", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"],
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    port = free_port()
    command = [part.format(port=port) for part in SERVERS[request.param]]
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=EXAMPLES, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        base = f"http://127.0.0.1:{port}/llm"
        deadline = time.monotonic() + 20
        while not _is_up(base):
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline
        yield base
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _is_up(base: str) -> bool:
    try:
        return httpx.get(f"{base}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_example_streams_and_resumes_under_every_server(url: str) -> None:
    """Mounted under a prefix, an answer arrives piece by piece, survives a cut, and is found by its `Location`."""
    decoder, seen = Decoder(), []
    body = {"model": "agent", "prompt": "the tide comes in and the tide goes out", "stream": True}
    with httpx.stream("POST", f"{url}/v1/streams", json=body) as response:
        location = response.headers["location"]
        assert location == f"/llm/v1/streams/{response.headers['tidegate-stream']}"
        for chunk in response.iter_bytes():
            seen += decoder.feed(chunk)
            if len(seen) >= 4:
                break
    assert len(seen) < 8
    events = f"{url.removesuffix('/llm')}{location}/events"
    with httpx.stream("GET", events, headers={"last-event-id": seen[-1].id}, timeout=10) as response:
        resumed = Decoder()
        for chunk in response.iter_bytes():
            seen += resumed.feed(chunk)
    text = "".join(json.loads(event.data)["text"] for event in seen if event.event == "delta")
    assert text == "You said: the tide comes in and the tide goes out "
    assert [int(event.id.split("-")[1]) for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].event == "completed"
    assert httpx.get(events, headers={"last-event-id": seen[-1].id}).status_code == 204
    assert httpx.get(f"{url}/v1/nothing").json()["error"]["code"] == "not_found"
