"""The examples in JavaScript and for curl, run as their page says, with real clicks where they are pages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from browser_kit import refused, visitor
from cable import Cable, laid
from gated_kit import HALF, WHOLE, install, open_gate
from node_kit import CLIENT, NODE, ROOT
from playwright.sync_api import Browser, Page, expect
from runtime_kit import MODULES
from site_kit import site

from tidegate.testing.process import running

EXAMPLES = ROOT / "examples"

CONFIG = """
[server]
allowed_origins = {origins}
[store]
url = "memory://"
lease_seconds = 20
"""

WORKER = """async (base) => {
    const code = `import { produce, startStream } from '${base}/web/tidegate.js';
        const base = '${base}';
        const seen = [];
        const onEvent = ({ type }) => seen.push(type);
        await startStream({ model: 'smollm2', prompt: 'worker' }, { base, transport: 'websocket', onEvent });
        const stream = await produce({ base });
        await stream.delta('from a worker');
        await stream.complete();
        postMessage([seen.length, seen.at(-1), stream.ended]);`;
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), { type: 'module' });
    return await new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
    });
}"""


class World(NamedTuple):
    """Two sites with the pages, the server, and the cable between them."""

    pages: str
    react: str
    url: str
    cable: Cable
    home: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("server")
    with ExitStack() as stack:
        pages = stack.enter_context(site(EXAMPLES / "browser"))
        react = stack.enter_context(site(built(tmp_path_factory.mktemp("react"))))
        (home / "tidegate.toml").write_text(
            CONFIG.format(origins=json.dumps([pages, react])) + install(home, "smollm2")
        )
        server = stack.enter_context(running("--config", "tidegate.toml", cwd=home))
        yield World(pages, react, server.url, stack.enter_context(laid(server.url)), home)


def built(folder: Path) -> Path:
    """The React example, by its own command; its packages are borrowed in place of `npm install`."""
    home = folder / "react"
    shutil.copytree(EXAMPLES / "react", home, ignore=shutil.ignore_patterns("node_modules", "main.js"))
    modules = home / "node_modules"
    modules.mkdir()
    for name in ("react", "react-dom", "scheduler"):
        (modules / name).symlink_to(MODULES / name)
    # As npm does with `install-links`: a copy, which finds React beside itself.
    shutil.copytree(CLIENT, modules / "tidegate", ignore=shutil.ignore_patterns("node_modules", "types"))
    command = json.loads((home / "package.json").read_text())["scripts"]["build"]
    environ = {**os.environ, "PATH": f"{MODULES / '.bin'}:{os.environ['PATH']}"}
    subprocess.run(command, shell=True, cwd=home, env=environ, check=True, capture_output=True)
    return home


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with visitor(browser, complaints=[refused(404, "File not found")]) as page:
        yield page


def test_an_event_source_in_twenty_lines(page: Page, world: World) -> None:
    """Its answer survives a cut and a refresh in the middle, and is there once."""
    script = (EXAMPLES / "browser" / "index.html").read_text().partition("onsubmit")[2]
    assert len(script.partition("</script>")[0].splitlines()) <= 25
    page.goto(f"{world.pages}/?server={world.cable.url}")
    page.get_by_label("Question").fill("plain")
    page.get_by_role("button", name="Ask").click()
    answer = page.locator("#answer")
    expect(answer).to_contain_text(HALF)
    world.cable.cut()
    world.cable.mend()
    open_gate(world.home, "plain")
    expect(answer).to_have_text(WHOLE)
    page.reload()
    expect(answer).to_have_text(WHOLE)


def test_a_room(page: Page, world: World) -> None:
    """What one says is read by the others, also by who comes later; everybody sees who is there."""
    page.goto(f"{world.pages}/room.html?server={world.url}")
    page.get_by_label("Message").fill("Is the tide in?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("listitem")).to_have_text("Is the tide in?")
    other = page.context.new_page()
    other.goto(f"{world.pages}/room.html?server={world.url}")
    expect(other.get_by_role("listitem")).to_have_text("Is the tide in?")
    other.get_by_label("Message").fill("<b>Yes</b>")
    other.get_by_label("Message").press("Enter")
    expect(page.get_by_role("listitem")).to_have_text(["Is the tide in?", "<b>Yes</b>"])
    expect(other.locator("#here")).to_have_text("anonymous (2)")


def test_a_log(page: Page, world: World) -> None:
    """Lines that were written before are shown, and new ones as they come."""
    publish = f"{world.url}/v1/topics/log/messages"
    httpx.post(publish, json={"data": "the first line"})
    page.goto(f"{world.pages}/log.html?server={world.url}")
    expect(page.locator("#log")).to_have_text("the first line")
    httpx.post(publish, json={"data": {"level": "info"}})
    expect(page.locator("#log")).to_have_text('the first line\n{"level":"info"}')
    expect(page.get_by_role("status")).to_have_text("streaming")


def test_the_client_works_in_a_worker(page: Page, world: World) -> None:
    """Of a page of another site: it is loaded from the server, follows over WebSocket, and fills a stream."""
    page.goto(f"{world.pages}/log.html?server={world.url}")
    open_gate(world.home, "worker")
    assert page.evaluate(WORKER, world.url) == [82, "completed", True]


def test_react(page: Page, world: World) -> None:
    """An answer is asked for, seen after a refresh, stopped; the room beside it works."""
    page.goto(f"{world.react}/?server={world.url}")
    page.get_by_label("Question").fill("hooks")
    page.get_by_role("button", name="Ask").click()
    answer = page.locator("#answer")
    expect(answer).to_contain_text(HALF)
    page.reload()
    expect(answer).to_contain_text(HALF)
    open_gate(world.home, "hooks")
    expect(page.get_by_role("status")).to_have_text("completed")
    expect(answer).to_have_text(WHOLE)
    page.get_by_label("Question").fill("stopped")
    page.get_by_role("button", name="Ask").click()
    expect(answer).not_to_have_text(WHOLE)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("cancelled")
    page.get_by_label("Message").fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("listitem").last).to_have_text("hello")
    expect(page.get_by_role("heading")).to_have_text("example: anonymous")


def test_curl(world: World, tmp_path: Path) -> None:
    """Every step of the script answers, and the two halves of its answer are the whole."""
    threading.Timer(2, open_gate, (world.home, "Tell me about the sea.")).start()
    command = ["sh", str(EXAMPLES / "curl.sh"), world.url]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith('data: {"text"')]
    snapshot = next(json.loads(line) for line in lines if line.startswith('{"id":"gen_'))
    assert "".join(each["text"] for each in events) == snapshot["text"]
    first, again = (line for line in lines if line.startswith("gen_"))
    assert first == again == snapshot["id"]
    assert '{"status":"cancelled"' in done.stdout
    assert '"data":"the tide is in"' in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_agent_in_javascript_goes_on_where_it_was(world: World) -> None:
    """Killed in the middle and started again, it fills the same stream to its end."""
    command = [NODE, str(EXAMPLES / "agent.mjs"), world.url, "report-17"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        stream = first.stdout.readline().partition(":")[0]
        pieces = 0
        with httpx.stream("GET", f"{world.url}/v1/streams/{stream}/events", timeout=30) as events:
            for line in events.iter_lines():
                pieces += line == "event: delta"
                if pieces == 3:
                    break
        first.send_signal(signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"{stream}: ")
    snapshot = httpx.get(f"{world.url}/v1/streams/{stream}").json()
    assert snapshot["text"] == "".join(f"Step {number} is done. " for number in range(1, 21))
    assert snapshot["status"] == "completed"
