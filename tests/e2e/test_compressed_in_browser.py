"""Compressed events in a real browser, which asks for gzip by itself and decompresses out of the page's sight."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_kit import fetch
from browser_kit import ARGUMENTS
from playwright.async_api import Page, Response, async_playwright

from tidegate import Tidegate
from tidegate.config import Settings
from tidegate.providers.settings import PythonModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

PIECES = ["a", " tide", "gåte ", "潮門 ", *(f"word-{number} " for number in range(20)), "long " * 1000, "end"]
EVENT_SOURCE = """(path) => new Promise((resolve, reject) => {
    const source = new EventSource(path);
    source.addEventListener('delta', (event) => arrived(JSON.parse(event.data).text));
    source.addEventListener('completed', () => { source.close(); resolve(); });
    source.onerror = () => { source.close(); reject(new Error('the stream broke')); };
})"""
FETCH = """async ([path, body]) => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
        const lines = (rest + read.value).split('\\n');
        rest = lines.pop();
        for (const line of lines.filter((line) => line.startsWith('data: {'))) {
            const event = JSON.parse(line.slice(6));
            const text = event.text ?? event.choices?.[0].delta.content;
            if (text) arrived(text);
        }
    }
}"""


class LockStep:
    """A model that says the next piece when the page has shown the one before."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[str] = asyncio.Queue()
        self.arrived: asyncio.Queue[str] = asyncio.Queue()

    async def answer(self, request: Any) -> AsyncIterator[str]:
        for _ in PIECES:
            yield await self.pieces.get()

    def show(self, piece: str) -> None:
        self.arrived.put_nowait(piece)

    async def walk(self) -> None:
        """Through all pieces. Raises `TimeoutError` where one does not come by itself."""
        for piece in PIECES:
            self.pieces.put_nowait(piece)
            seen = ""
            async with asyncio.timeout(10):
                while seen != piece:
                    seen += await self.arrived.get()
            assert self.arrived.empty()


class Browsed:
    """A page of the server in Chromium, and the responses that it had."""

    def __init__(self, page: Page, url: str, model: LockStep) -> None:
        self.url = url
        self._page = page
        self._model = model
        self._responses: list[Response] = []
        page.on("response", self._note)

    async def follow(self, path: str, script: str, argument: object) -> Response:
        """Runs the script in lock-step with the model, to the end of the answer from `path`."""
        async with asyncio.timeout(30), asyncio.TaskGroup() as together:
            together.create_task(self._page.evaluate(script, argument))
            together.create_task(self._model.walk())
        return next(response for response in self._responses if response.url == self.url + path)

    def _note(self, response: Response) -> None:
        self._responses.append(response)


@pytest.fixture
async def browsed() -> AsyncIterator[Browsed]:
    async with browsing() as found:
        yield found


@asynccontextmanager
async def browsing() -> AsyncIterator[Browsed]:
    model = LockStep()
    app = Tidegate(Settings(models=(PythonModel(name="steps", target=model.answer),)))
    async with serving(app) as url, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = await browser.new_page()
        await page.expose_function("arrived", model.show)
        await page.goto(url)
        yield Browsed(page, url, model)
        await browser.close()
        await app.close()


async def test_event_source_has_each_compressed_event_as_it_is_sent(browsed: Browsed) -> None:
    """No event waits in the compressor, or in the browser, for the next."""
    body = {"model": "steps", "prompt": "x", "background": True}
    _, headers, _ = await fetch(f"{browsed.url}/v1/streams", "POST", body)
    path = f"{headers['location']}/events"
    response = await browsed.follow(path, EVENT_SOURCE, path)
    assert response.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/v1/streams", {"prompt": "x"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
    ],
)
async def test_fetch_has_each_compressed_event_as_it_is_sent(
    browsed: Browsed, path: str, question: dict[str, Any]
) -> None:
    """Natively and in OpenAI's dialect, to the clean end of the body."""
    response = await browsed.follow(path, FETCH, [path, {"model": "steps", "stream": True, **question}])
    assert response.headers["content-encoding"] == "gzip"
