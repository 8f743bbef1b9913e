"""The chat page as its readers use it, and a model that says what a test has it say, when it has it said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Locator, Page, expect

from tidegate.testing.process import running

WORDS = " ".join(f"w{number}" for number in range(1, 101))

MODELS = f"""
[[models]]
name = "told"
provider = "python"
target = "told:answer"
[[models]]
name = "fast"
provider = "replay"
text = "{WORDS}"
tokens = 100
rate = 0
[[models]]
name = "slow"
provider = "replay"
text = "{WORDS}"
tokens = 100
rate = 10
"""

MODULE = """
import asyncio
import json
from itertools import count
from pathlib import Path

from tidegate import Completed, Reasoning, ToolCall, Usage

TAKES = {}


async def answer(request):
    folder = Path("told", request.prompt.split()[-1])
    TAKES[folder] = take = TAKES.get(folder, 0) + 1
    for number in count():
        told = folder / f"{take}-{number}"
        while not told.exists():
            await asyncio.sleep(0.005)
        for kind, *what in json.loads(told.read_text()):
            if kind == "text":
                yield what[0]
            elif kind == "thought":
                yield Reasoning(what[0])
            elif kind == "call":
                yield ToolCall(*what)
            elif kind == "end":
                yield Completed(what[0], Usage(1, 100, 101))
                return
            else:
                raise RuntimeError("on purpose")
"""


class Told:
    """What the model `told` says to a question whose last word is this name: each piece when it is told."""

    def __init__(self, folder: Path, name: str) -> None:
        self.question = f"Tell me {name}"
        self._folder = folder / "told" / name
        self._folder.mkdir(parents=True)
        self._take, self._said = 1, 0

    def say(self, *pieces: tuple[Any, ...] | str) -> None:
        """The next pieces: a text, `("thought", …)`, `("call", index, id, name, arguments)`, `("fail",)`."""
        draft = self._folder / "draft"
        draft.write_text(json.dumps([("text", piece) if isinstance(piece, str) else piece for piece in pieces]))
        draft.rename(self._folder / f"{self._take}-{self._said}")
        self._said += 1

    def end(self, *pieces: tuple[Any, ...] | str, reason: str = "stop") -> None:
        self.say(*pieces, ("end", reason))

    def again(self) -> None:
        """What is said now is for the next who asks the same."""
        self._take, self._said = self._take + 1, 0


class Site:
    """A server with these models, and who tells its model `told` what to say."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self._folder = folder
        self._count = 0

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}/{path}").raise_for_status().json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return httpx.post(f"{self.url}/{path}", json=body).raise_for_status().json()

    def told(self) -> Told:
        self._count += 1
        return Told(self._folder, f"t{self._count}")

    def snapshot(self, stream: str) -> dict[str, Any]:
        return self.get(f"v1/streams/{stream}")

    def wait_for(self, text: str, stream: str) -> None:
        """Returns once the stream has this text, whoever else reads it."""
        found = ""
        with httpx.stream("GET", f"{self.url}/v1/streams/{stream}/events") as events:
            for line in events.iter_lines():
                found += json.loads(line[6:]).get("text", "") if line.startswith("data: ") else ""
                if found == text:
                    return
        raise AssertionError(f"it ended with: {found!r}")


@contextmanager
def site(folder: Path, more: str = "", **limits: int) -> Iterator[Site]:
    """A server in this folder; `more`: of its configuration."""
    limits = {"requests_per_minute": 60000, "burst": 10000, **limits}
    lines = [f"{name} = {value}" for name, value in limits.items()]
    (folder / "told.py").write_text(MODULE)
    (folder / "tidegate.toml").write_text("\n".join(['store.url = "memory://"', "[limits]", *lines, MODELS, more]))
    with running("--config", "tidegate.toml", cwd=folder) as process:
        assert process.ready, process.stderr()
        yield Site(folder, process.url)


@contextmanager
def reader(browser: Browser, complaints: list[str], **context: Any) -> Iterator[Page]:
    """Somebody new, who reads on this kind of screen; their console must stay empty, but for what begins as a complaint
    does."""
    from browser_kit import PATIENCE_MS, UNREACHABLE

    options = {"viewport": {"width": 1280, "height": 800}, "permissions": ["clipboard-read", "clipboard-write"]}
    opened = browser.new_context(**{**options, **context})
    opened.set_default_timeout(PATIENCE_MS)
    found: list[str] = []
    opened.on("console", lambda line: found.append(line.text) if line.type in ("error", "warning") else None)
    opened.on("weberror", lambda error: found.append(str(error.error)))
    yield opened.new_page()
    opened.close()
    unexpected = [text for text in found if not UNREACHABLE.match(text) and not text.startswith(tuple(complaints))]
    assert unexpected == [], unexpected


def ask(page: Page, question: str = "Go on", *, model: str = "") -> None:
    """Returns once the question stands above its answer."""
    # What is typed while a dialog is open goes to the dialog.
    expect(page.get_by_role("dialog")).to_be_hidden()
    if model:
        page.get_by_label("Model").select_option(model)
    field = page.get_by_label("Your message")
    field.fill(question)
    field.press("Enter")
    # A question waits for its tab's turn; what a test sees before that is the answer to the question before.
    expect(field).to_have_value("")


def answer(page: Page) -> Locator:
    return page.locator(".answer").last


def status(page: Page) -> Locator:
    return page.locator(".status").last


def said(page: Page) -> Locator:
    """How the last answer stands, without its clock."""
    return page.locator(".status .said").last


def expect_end(page: Page) -> None:
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=20_000)


def kept(page: Page) -> list[dict[str, Any]]:
    """The turns that the browser keeps, of all conversations, the oldest first."""
    turns = page.evaluate("Object.entries({ ...localStorage }).filter(([name]) => name.includes(':turn:'))")
    return sorted((json.loads(value) for _, value in turns), key=lambda turn: turn["startedAt"])


def last_turn(page: Page) -> dict[str, Any]:
    return kept(page)[-1]


KEPT_WHOLE = """(text) => {
    const turns = Object.entries({ ...localStorage }).filter(([name]) => name.includes(':turn:'));
    const last = turns.map(([, kept]) => JSON.parse(kept)).sort((a, b) => a.startedAt - b.startedAt).at(-1);
    return last?.status === 'completed' && last.text === text;
}"""


def change_kept(page: Page, **changes: str) -> None:
    """Has the page keep this of its last turn when it is left."""
    page.evaluate(
        """(changes) => addEventListener('pagehide', () => {
            const name = Object.keys({ ...localStorage }).find((name) => name.includes(':turn:'));
            localStorage.setItem(name, JSON.stringify({ ...JSON.parse(localStorage.getItem(name)), ...changes }));
        })""",
        changes,
    )


def expect_whole(page: Page, url: str, text: str = WORDS) -> None:
    """The page shows, and keeps, exactly the text that the server has."""
    # A question is asked once its tab's turn has come: the end before it must not be taken for its own.
    page.wait_for_function(KEPT_WHOLE, arg=text, timeout=20_000)
    expect_end(page)
    turn = last_turn(page)
    snapshot = httpx.get(f"{url}/v1/streams/{turn['id']}").json()
    assert turn["status"] == snapshot["status"] == "completed"
    assert turn["text"] == snapshot["text"] == text
    assert re.sub(r"\s+", " ", answer(page).text_content() or "").strip() == re.sub(r"\s+", " ", text).strip()
