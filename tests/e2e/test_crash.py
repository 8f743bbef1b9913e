"""kill -9 in the middle of an answer, on the store that `tidegate serve` has by default."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_kit import call, fetch
from browser_kit import ARGUMENTS
from eventually_kit import eventually
from playwright.sync_api import sync_playwright
from restart_kit import Restartable

from tidegate.testing.process import TIDEGATE

pytestmark = pytest.mark.anyio

KEPT = """
[limits]
requests_per_minute = 0

[store]
url = "sqlite:///logs.db"
lease_seconds = 1
"""
PLAYED = f"""{KEPT}
[[models]]
name = "replay"
provider = "replay"
tokens = 120
rate = 60
[[models]]
name = "going-on"
provider = "replay"
tokens = 120
rate = 60
can_continue = true
"""
REAL = f"""{KEPT}
[[models]]
name = "smollm2"
provider = "llama"
can_continue = true
"""
LISTEN = """([stream]) => {
    window.seen = []; window.errors = 0;
    const source = new EventSource(`/v1/streams/${stream}/events`);
    const note = (event) => window.seen.push([event.type, event.lastEventId, event.data]);
    for (const type of ['started', 'delta', 'completed', 'failed', 'gap']) source.addEventListener(type, note);
    source.addEventListener('error', () => { window.errors += 1; });
    window.source = source;
}"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Restartable]:
    with Restartable(tmp_path, PLAYED) as server:
        yield server


def tailing(server: Restartable, stream: str) -> subprocess.Popen[str]:
    command = [*TIDEGATE, "tail", stream, "--url", server.url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def started(server: Restartable, model: str, **more: object) -> str:
    body = {"model": model, "prompt": "Tell me a story about the sea.", "background": True, **more}
    status, _, snapshot = await fetch(f"{server.url}/v1/streams", "POST", body)
    assert status == 202
    return snapshot["id"]


async def text_so_far(server: Restartable, stream: str, pieces: int) -> str:
    """Once the log has so many pieces."""
    snapshot: dict[str, str] = {}

    async def has_them() -> bool:
        nonlocal snapshot
        _, _, snapshot = await fetch(f"{server.url}/v1/streams/{stream}")
        return int(snapshot["cursor"].split("-")[1]) > pieces

    await eventually(has_them, within=30)
    return snapshot["text"]


async def whole(server: Restartable, stream: str) -> str:
    async with call(f"{server.url}/v1/streams/{stream}/events") as answer:
        if answer.status == 200:
            assert [event async for event in answer.events()]
    _, _, snapshot = await fetch(f"{server.url}/v1/streams/{stream}")
    assert snapshot["status"] == "completed"
    return snapshot["text"]


async def test_tail_goes_on_by_itself_to_a_typed_end(server: Restartable) -> None:
    """It loses its server twice, sees every piece once, and says how the answer ended."""
    stream = await started(server, "replay")
    with tailing(server, stream) as tail:
        said = await text_so_far(server, stream, 20)
        server.restart()
        out, err = tail.communicate(timeout=30)
    assert out.startswith(said)
    assert "the process that filled the stream stopped before its end" in err
    assert tail.returncode == 1
    _, _, snapshot = await fetch(f"{server.url}/v1/streams/{stream}")
    assert (snapshot["status"], snapshot["error"]["code"], snapshot["text"]) == (
        "failed",
        "interrupted",
        out.rstrip("\n"),
    )


async def test_an_answer_that_can_be_carried_on_has_no_seam(server: Restartable) -> None:
    """Killed three times, it is the text that it would have been, to the token, and its readers see one stream."""
    expected = await whole(server, await started(server, "going-on"))
    stream = await started(server, "going-on")
    with tailing(server, stream) as tail:
        for pieces in (10, 40, 90):
            await text_so_far(server, stream, pieces)
            server.restart()
        out, _ = tail.communicate(timeout=60)
    assert (out.rstrip("\n"), tail.returncode) == (expected, 0)
    assert await whole(server, stream) == expected


async def test_a_real_model_carries_its_text_on(tmp_path: Path) -> None:
    """The final text begins with what the log had, no word is said twice at the seam, and the limit is the whole's."""
    with Restartable(tmp_path, REAL) as server:
        stream = await started(server, "smollm2", temperature=0, max_tokens=40)
        before = await text_so_far(server, stream, 9)
        server.restart()
        after = await whole(server, stream)
        _, _, snapshot = await fetch(f"{server.url}/v1/streams/{stream}")
    assert after.startswith(before)
    last, following = before.split()[-1], after[len(before) :].split()
    assert following
    assert last not in following[:1]
    assert snapshot["usage"]["completion_tokens"] <= 41


def test_a_browsers_event_source_goes_on_by_itself(server: Restartable) -> None:
    """Without a line of code for it: every event once, in order, and then the end that the restarted server wrote."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        page = browser.new_page(bypass_csp=True)
        page.goto(server.url)
        body = {"model": "replay", "prompt": "hi", "background": True}
        stream = page.evaluate(
            "async (body) => (await (await fetch('/v1/streams', {method: 'POST', body: JSON.stringify(body), "
            "headers: {'content-type': 'application/json'}})).json()).id",
            body,
        )
        page.evaluate(LISTEN, [stream])
        page.wait_for_function("window.seen.length > 20")
        server.restart()
        page.wait_for_function("window.seen.at(-1)[0] === 'failed'", timeout=30_000)
        seen = page.evaluate("window.seen")
        # Once more it asks, is answered 204, and stops for good.
        page.wait_for_function("window.source.readyState === EventSource.CLOSED", timeout=30_000)
        browser.close()
    offsets = [int(id.split("-")[1]) for _, id, _ in seen]
    assert offsets == list(range(1, len(seen) + 1))
    assert [type for type, _, _ in seen].count("failed") == 1
    assert json.loads(seen[-1][2])["error"]["code"] == "interrupted"
