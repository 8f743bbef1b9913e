"""The React hooks in a real browser, under StrictMode."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from browser_kit import refused, visitor
from cable import Cable, laid
from gated_kit import HALF, WHOLE, install, open_gate
from node_kit import NODE
from playwright.sync_api import Browser, Page, expect
from runtime_kit import MODULES, SCRIPTS
from site_kit import site

from tidegate.testing.process import running

CONFIG = """
[server]
allowed_origins = ["{origin}"]
[limits]
requests_per_minute = 0
[store]
url = "memory://"
lease_seconds = 30
"""

PAGE = '<!doctype html><link rel="icon" href="data:,"><div id="root"></div><script src="hooks.js"></script>'

PATIENCE_MS = 30_000


class World(NamedTuple):
    """The site that has the components, the server, and the cable between them."""

    site: str
    url: str
    cable: Cable
    home: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("site")
    command = [str(MODULES / ".bin" / "esbuild"), str(SCRIPTS / "hooks.jsx"), "--bundle", "--jsx=automatic"]
    environ = {**os.environ, "NODE_PATH": str(MODULES)}
    subprocess.run([*command, f"--outfile={folder / 'hooks.js'}", "--log-level=error"], env=environ, check=True)
    (folder / "index.html").write_text(PAGE)
    home = tmp_path_factory.mktemp("server")
    with ExitStack() as stack:
        origin = stack.enter_context(site(folder))
        (home / "tidegate.toml").write_text(CONFIG.format(origin=origin) + install(home, "gated"))
        server = stack.enter_context(running("--config", "tidegate.toml", cwd=home))
        yield World(origin, server.url, stack.enter_context(laid(server.url)), home)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with visitor(browser, complaints=[refused(404, "Not Found")]) as page:
        yield page


Visit = Callable[..., None]


@pytest.fixture
def visit(page: Page, world: World) -> Visit:
    def go(component: str, transport: str = "sse") -> None:
        page.goto(f"{world.site}/?component={component}&transport={transport}&server={world.cable.url}")

    return go


def shown(page: Page) -> Any:
    return json.loads(page.locator("pre").inner_text())


def wait_for(page: Page, fact: str) -> Any:
    """What the component shows once `fact`, an expression on what it shows as `it`, is true."""
    page.wait_for_function(
        f"() => {{ const it = JSON.parse(document.querySelector('pre').textContent); return {fact}; }}",
        timeout=PATIENCE_MS,
    )
    return shown(page)


def streams(world: World) -> list[dict[str, Any]]:
    return httpx.get(f"{world.url}/v1/streams?limit=100").json()["data"]


def ask(page: Page, prompt: str) -> Any:
    """What the component shows once it has half of the answer."""
    page.evaluate("(prompt) => window.answer.start({ model: 'gated', prompt, on_disconnect: 'keep' })", prompt)
    return wait_for(page, f"it.text.includes('{HALF}')")


def bundled(name: str, folder: Path) -> Any:
    """What a script that imports React prints in Node, as JSON."""
    bundle = folder / name
    command = [str(MODULES / ".bin" / "esbuild"), str(SCRIPTS / name), "--bundle", "--format=esm"]
    environ = {**os.environ, "NODE_PATH": str(MODULES)}
    subprocess.run([*command, f"--outfile={bundle}", "--platform=node", "--log-level=error"], env=environ, check=True)
    done = subprocess.run([NODE, bundle], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_what_is_stopped_before_it_has_an_id_is_cancelled(tmp_path: Path) -> None:
    """The question is under way: the server is told once the answer has a name, though another was asked since."""
    assert "/v1/streams/gen_1/cancel" in bundled("stopped.mjs", tmp_path)


def test_a_token_that_was_renewed_counts_at_once(tmp_path: Path) -> None:
    """A component is rendered with another token, or another function: the next connection has it."""
    assert bundled("renewed.mjs", tmp_path) == ["Bearer first", "Bearer second"]


def test_a_component_that_asks_at_once_asks_once(page: Page, world: World, visit: Visit) -> None:
    """StrictMode mounts it twice; there is one answer, which a burst of words renders a few times, and which goes on
    without the component."""
    before = len(streams(world))
    visit("Eager")
    it = wait_for(page, f"it.text.includes('{HALF}')")
    assert (it["status"], it["isLive"]) == ("streaming", True)
    assert page.evaluate("window.events") == 41
    assert page.evaluate("window.renderings") < 41
    page.evaluate("window.setThere(false)")
    expect(page.locator("pre")).to_have_text("gone")
    seen = page.evaluate("window.events")
    open_gate(world.home, "eager")
    page.wait_for_function(
        "async (url) => (await (await fetch(url)).json()).status === 'completed'",
        arg=f"{world.url}/v1/streams/{it['id']}",
        timeout=PATIENCE_MS,
    )
    assert page.evaluate("window.events") == seen
    assert len(streams(world)) == before + 1


def test_an_id_is_followed(page: Page, world: World, visit: Visit) -> None:
    """An answer that is there already is shown at once, as a whole; no id is no answer."""
    body = {"model": "gated", "prompt": "chosen"}
    open_gate(world.home, "chosen")
    stream = httpx.post(f"{world.url}/v1/streams", json=body, timeout=30).json()["id"]
    visit("Chosen")
    page.evaluate("(id) => window.choose(id)", stream)
    it = wait_for(page, "it.status === 'completed'")
    assert it["text"] == WHOLE
    assert it["end"]["finish_reason"] == "stop"
    assert page.evaluate("window.events") == 2
    page.evaluate("window.choose(null)")
    assert wait_for(page, "it.status === 'idle'")["text"] == ""


def test_reasoning_tool_calls_and_a_failure(page: Page, world: World, visit: Visit) -> None:
    """What came before the component and what comes afterwards are put together, fragment by fragment."""
    opened = httpx.post(f"{world.url}/v1/streams", json={"producer": "client"}).json()
    offset = opened["offset"]

    def append(*events: tuple[str, dict[str, Any]]) -> None:
        nonlocal offset
        body = {"lease": opened["lease"]["token"], "expected_offset": offset}
        body["events"] = [{"type": kind, "data": data} for kind, data in events]
        offset = httpx.post(f"{world.url}/v1/streams/{opened['id']}/append", json=body).json()["offset"]

    append(
        ("reasoning", {"text": "Is it "}),
        ("tool_call", {"index": 0, "id": "call_1", "name": "tide", "arguments": '{"at":'}),
    )
    visit("Chosen")
    page.evaluate("(id) => window.choose(id)", opened["id"])
    wait_for(page, "it.toolCalls.length === 1")
    append(
        ("reasoning", {"text": "high?"}),
        ("tool_call", {"index": 0, "arguments": '"noon"}'}),
        ("tool_call", {"index": 1, "id": "call_2", "name": "moon", "arguments": "{}"}),
        ("failed", {"error": {"type": "server_error", "code": "no_moon", "message": "There is no moon."}}),
    )
    it = wait_for(page, "it.status === 'failed'")
    assert it["reasoning"] == "Is it high?"
    assert it["toolCalls"] == [
        {"index": 0, "id": "call_1", "name": "tide", "arguments": '{"at":"noon"}'},
        {"index": 1, "id": "call_2", "name": "moon", "arguments": "{}"},
    ]
    assert page.evaluate("[window.answer.error.code, window.answer.error.message]") == ["no_moon", "There is no moon."]


def test_a_refresh_shows_the_answer_again(page: Page, world: World, visit: Visit) -> None:
    """In the middle and at the end, whole, and without a second answer; one that was forgotten is not missed."""
    before = len(streams(world))
    visit("Asked")
    ask(page, "refresh")
    page.reload()
    wait_for(page, f"it.text.includes('{HALF}')")
    open_gate(world.home, "refresh")
    it = wait_for(page, "it.status === 'completed'")
    assert it["text"] == WHOLE
    page.reload()
    assert wait_for(page, "it.status === 'completed'")["text"] == WHOLE
    assert len(streams(world)) == before + 1
    httpx.delete(f"{world.url}/v1/streams/{it['id']}")
    page.reload()
    wait_for(page, "it.status === 'idle'")


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_a_broken_network_is_shown_and_mended(page: Page, world: World, visit: Visit, transport: str) -> None:
    """The component is told that it is away; once it is back the answer is whole."""
    visit("Asked", transport)
    ask(page, transport)
    world.cable.cut()
    it = wait_for(page, "it.status === 'reconnecting' && it.delay > 0")
    assert it["error"] is not None
    assert it["isLive"]
    open_gate(world.home, transport)
    world.cable.mend()
    page.evaluate("window.answer.retry()")
    it = wait_for(page, "it.status === 'completed'")
    assert (it["text"], it["error"], it["isLive"]) == (WHOLE, None, False)
    assert page.evaluate("window.events") == 82


def test_stop_and_retry(page: Page, world: World, visit: Visit) -> None:
    """What is stopped is cancelled for everybody, keeps its text, and can be asked anew, also after a refusal."""
    visit("Asked")
    page.evaluate("window.answer.start({ model: 'none', prompt: 'x' })")
    wait_for(page, "it.status === 'failed'")
    assert page.evaluate("window.answer.error.code") == "model_not_found"
    it = ask(page, "stop")
    page.evaluate("window.answer.stop()")
    stopped = wait_for(page, "it.status === 'cancelled'")
    assert (stopped["id"], stopped["text"]) == (it["id"], it["text"])
    open_gate(world.home, "stop")
    page.evaluate("window.answer.retry()")
    again = wait_for(page, "it.status === 'completed'")
    assert again["id"] != it["id"]
    assert again["text"] == WHOLE


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_a_topic(page: Page, world: World, visit: Visit, transport: str) -> None:
    """Its latest messages, its state, who is there; and what a component itself publishes."""
    topic = f"room-{transport}"
    publish = f"{world.url}/v1/topics/{topic}/messages"
    httpx.post(publish, json={"data": {"theme": "sea"}, "state": True})
    visit("Room", transport)
    assert shown(page)["status"] == "idle"
    page.evaluate("(name) => window.enter(name)", topic)
    it = wait_for(page, "it.messages.length === 1 && it.presence.length")
    assert (it["state"], it["presence"]) == ({"theme": "sea"}, ["anonymous"])
    for number in range(3):
        page.evaluate("(number) => window.room.publish({ number }, { type: 'count' })", number)
    it = wait_for(page, "it.messages.at(-1)?.data.number === 2")
    assert [(each["type"], each["data"]) for each in it["messages"]] == [("count", {"number": n}) for n in range(3)]
    world.cable.cut()
    wait_for(page, "it.status === 'reconnecting'")
    httpx.post(publish, json={"data": {"theme": "tide"}, "state": True})
    world.cable.mend()
    page.evaluate("window.room.retry()")
    it = wait_for(page, "it.state.theme === 'tide'")
    assert it["messages"][-1]["from"] == "anonymous"
