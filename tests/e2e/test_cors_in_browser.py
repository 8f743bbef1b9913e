"""Pages of other sites in a real browser: those that may use the server can, and those that may not change nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_kit import fetch
from browser_kit import ARGUMENTS
from playwright.async_api import Browser, Page, async_playwright
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tidegate import Tidegate
from tidegate.config import ServerSettings, Settings
from tidegate.observe.base import Occurrence, RequestDone
from tidegate.providers.settings import PythonModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

PACKAGES = Path(__file__).parents[2] / ".venv" / "node" / "node_modules"

STREAM = """async (url) => {
    const headers = { 'content-type': 'application/json', 'x-request-id': 'mine', 'idempotency-key': 'once' };
    const body = JSON.stringify({ model: 'steps', prompt: 'x', stream: true });
    const response = await fetch(`${url}/v1/streams`, { method: 'POST', headers, body });
    let text = '';
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
        text += piece;
        if (text.includes('"one "')) await arrived();
    }
    const read = ['tidegate-stream', 'location', 'x-request-id'].map((name) => response.headers.get(name));
    return [response.status, text, ...read];
}"""
FOLLOW = """(url) => new Promise((resolve, reject) => {
    const source = new EventSource(url);
    let text = '';
    source.addEventListener('delta', (event) => {
        text += JSON.parse(event.data).text;
        if (text === 'one ') arrived();
    });
    source.addEventListener('completed', () => { source.close(); resolve(text); });
    source.onerror = () => { source.close(); reject(new Error('the stream broke')); };
})"""
FAIL = """async (url) => {
    const headers = { 'content-type': 'application/json', authorization: 'Bearer x' };
    const body = JSON.stringify({ model: 'none', prompt: 'x' });
    const response = await fetch(`${url}/v1/streams`, { method: 'POST', headers, body });
    return [response.status, (await response.json()).error.code, response.headers.get('x-should-retry')];
}"""
OPENAI = """async (url) => {
    const { default: OpenAI } = await import('/packages/openai/index.mjs');
    const options = { apiKey: 'none', organization: 'o', project: 'p', dangerouslyAllowBrowser: true };
    const client = new OpenAI({ baseURL: `${url}/v1`, ...options });
    const messages = [{ role: 'user', content: 'x' }];
    let text = '';
    for await (const chunk of await client.chat.completions.create({ model: 'steps', messages, stream: true })) {
        text += chunk.choices[0]?.delta.content ?? '';
        if (text === 'one ') await arrived();
    }
    const error = await client.chat.completions.create({ model: 'none', messages }).catch((error) => error);
    return [text, error.constructor.name, error.code, Boolean(error.requestID)];
}"""
CLIENT = """async (url) => {
    const { startStream, followStream, cancelStream, readStream } = await import(`${url}/web/tidegate.js`);
    const { status } = await (await fetch(`${url}/healthz`)).json();
    let id = '';
    const onEvent = (event) => event.type === 'delta' && arrived();
    const body = { model: 'steps', prompt: 'x' };
    const started = await startStream(body, { base: url, onStart: (named) => (id = named), onEvent });
    const followed = await followStream(id, { base: url });
    const { text } = await readStream(id, { base: url });
    const cancelled = await cancelStream(id, { base: url });
    return [status, started.type, followed.type, text, cancelled.status];
}"""
READ = """async ([url, path]) => {
    const outcome = (promise) => promise.then(() => 'done', (error) => error.name);
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ model: 'steps', prompt: 'x' });
    return await Promise.all([
        outcome(fetch(url + path)),
        outcome(fetch(url + path, { mode: 'no-cors' })),
        outcome(fetch(`${url}/v1/streams`, { method: 'POST', headers, body })),
        outcome(import(`${url}/web/tidegate.js`)),
        new Promise((resolve) => {
            const source = new EventSource(`${url}${path}/events`);
            source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? 'closed' : 'trying');
            source.onopen = () => resolve('open');
        }),
    ]);
}"""
# None of these asks for leave with a preflight.
CHANGE = """async ([url, path]) => {
    const cancel = `${url}${path}/cancel`;
    const send = (to, body) => fetch(to, { method: 'POST', mode: 'no-cors', body }).catch(() => {});
    await send(cancel);
    await send(`${url}/v1/streams`, JSON.stringify({ model: 'steps', prompt: 'x' }));
    navigator.sendBeacon(cancel);
    const form = Object.assign(document.createElement('form'), { method: 'post', action: cancel, target: 'frame' });
    const frame = Object.assign(document.createElement('iframe'), { name: 'frame' });
    const script = `fetch('${cancel}', { method: 'POST', mode: 'no-cors' }).catch(() => {})`;
    const sandbox = Object.assign(document.createElement('iframe'), { srcdoc: `<script>${script}</script>` });
    sandbox.sandbox = 'allow-scripts';
    document.body.append(form, frame, sandbox);
    form.submit();
}"""


class Steps:
    """A model that says its second word when the page has shown the first."""

    def __init__(self) -> None:
        self.calls = 0
        self.shown = asyncio.Event()

    async def answer(self, request: Any) -> AsyncIterator[str]:
        self.calls += 1
        yield "one "
        await self.shown.wait()
        yield "two"


Done = tuple[str, str, int | None]


class Log:
    """Remembers the requests that are over."""

    def __init__(self) -> None:
        self._done: asyncio.Queue[Done] = asyncio.Queue()

    def observe(self, occurrence: Occurrence) -> None:
        if isinstance(occurrence, RequestDone):
            self._done.put_nowait((occurrence.method, occurrence.path, occurrence.status))

    async def take(self, count: int) -> list[Done]:
        """The next of them, once there are so many."""
        async with asyncio.timeout(10):
            return [await self._done.get() for _ in range(count)]


class World:
    """A page of another site, and the server that it would like to use."""

    def __init__(self, page: Page, url: str, model: Steps, log: Log) -> None:
        self.page = page
        self.url = url
        self.model = model
        self.log = log

    async def run(self, script: str, argument: object) -> Any:
        async with asyncio.timeout(20):
            return await self.page.evaluate(script, argument)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def visited(browser: Browser, *, listed: bool, others: Iterable[str] = ()) -> AsyncIterator[World]:
    """The page of another site, whose origin is, or is not, among the allowed ones."""
    model, log = Steps(), Log()
    site = Starlette(
        routes=[
            Route("/", lambda request: HTMLResponse("<!doctype html><title>Another site</title>")),
            Mount("/packages", StaticFiles(directory=PACKAGES)),
        ]
    )
    async with serving(site) as origin:
        server = ServerSettings(allowed_origins=(*others, *([origin] if listed else [])))
        app = Tidegate(Settings(server=server, models=(PythonModel(name="steps", target=model.answer),)), observer=log)
        page = await browser.new_page()
        await page.expose_function("arrived", model.shown.set)
        await page.goto(origin)
        async with serving(app) as url:
            yield World(page, url, model, log)
            await app.close()
        await page.close()


async def start(url: str) -> str:
    """Starts a generation in the background: the path of its stream."""
    body = {"model": "steps", "prompt": "x", "background": True}
    _, headers, _ = await fetch(f"{url}/v1/streams", "POST", body)
    return headers["location"]


async def test_a_listed_page_streams(browser: Browser) -> None:
    """It has each event as it is sent, and reads the headers by which it can come back."""
    async with visited(browser, listed=True) as world:
        status, text, stream, location, request_id = await world.run(STREAM, world.url)
        assert (status, request_id, location) == (200, "mine", f"/v1/streams/{stream}")
        assert '"two"' in text
        assert (await fetch(f"{world.url}{location}"))[2]["text"] == "one two"
        assert await world.log.take(1) == [("OPTIONS", "/v1/streams", 204)]


async def test_our_client_in_a_listed_page(browser: Browser) -> None:
    """All that it does is let through: the look whether the server is there, and calls with its headers."""
    async with visited(browser, listed=True) as world:
        found = await world.run(CLIENT, world.url)
        assert found == ["ok", "completed", "completed", "one two", "completed"]


async def test_a_listed_page_follows(browser: Browser) -> None:
    """Its `EventSource` follows a stream that somebody else has started."""
    async with visited(browser, listed=True) as world:
        path = await start(world.url)
        assert await world.run(FOLLOW, f"{world.url}{path}/events") == "one two"


async def test_a_listed_page_reads_errors(browser: Browser) -> None:
    """A refusal is typed there, too, and not a network error."""
    async with visited(browser, listed=True) as world:
        assert await world.run(FAIL, world.url) == [404, "model_not_found", "false"]


async def test_the_openai_package_in_a_listed_page(browser: Browser) -> None:
    """All headers that it sends are let through: it streams, and raises its own errors with the request's id."""
    async with visited(browser, listed=True) as world:
        found = await world.run(OPENAI, world.url)
        assert found == ["one two", "NotFoundError", "model_not_found", True]


@pytest.mark.parametrize("others", [(), ("https://app.example.com",)])
async def test_another_page_reads_nothing(browser: Browser, others: tuple[str, ...]) -> None:
    """Neither by fetch, with or without CORS, nor by `EventSource`, nor as a module; and it starts nothing."""
    async with visited(browser, listed=False, others=others) as world:
        path = await start(world.url)
        outcomes = await world.run(READ, [world.url, path])
        assert outcomes == ["TypeError", "TypeError", "TypeError", "TypeError", "closed"]
        assert world.model.calls == 1


async def test_another_page_changes_nothing(browser: Browser) -> None:
    """Nor by requests whose answers it does not want: without CORS, beacons, forms, frames that hide their origin."""
    async with visited(browser, listed=False) as world:
        path = await start(world.url)
        await world.run(CHANGE, [world.url, path])
        assert await world.log.take(1) == [("POST", "/v1/streams", 202)]
        assert sorted(await world.log.take(5)) == [("POST", "/v1/streams", 403), *[("POST", f"{path}/cancel", 403)] * 4]
        assert (await fetch(f"{world.url}{path}"))[2]["status"] == "running"
        assert world.model.calls == 1
