"""What the chat page costs its reader: the browser's main thread while an answer is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from tidegate.bench import product
from tidegate.bench.options import Bench
from tidegate.bench.report import Table
from tidegate.errors import TidegateError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
"""The sandbox wants rights that containers do not have; software draws alike on every machine."""

WORDS = ("the", "tide", "comes", "in", "over", "sand", "and", "stone", "while", "lamps", "along", "harbour", "burn")

DURATIONS = {
    "main thread s": "TaskDuration",
    "script s": "ScriptDuration",
    "style s": "RecalcStyleDuration",
    "layout s": "LayoutDuration",
}
"""By column, the name of a metric of the Chrome DevTools Protocol (`Performance.getMetrics`), in seconds."""

PATIENCE_SECONDS = 30


def page(bench: Bench) -> Table:
    """An answer on the chat page in Chromium, by the shape of its text: CPU time of the browser's main thread."""
    options = bench.options
    tokens = max(1, int(options.rate * options.seconds))
    table = Table(f"The page: an answer of {tokens:,} words at {options.rate:g} words/s", dict.fromkeys(DURATIONS, 2))
    models = "".join(_model(name, shape(tokens), options.rate, tokens) for name, shape in SHAPES.items())
    with _chromium() as browser:
        for _ in range(options.rounds):
            for name in SHAPES:
                with product.serving(models) as server:
                    table.add(name, _one(browser, server.url, name, options.seconds))
    return table


def _lines(words: int, each: int, before: str, after: str) -> str:
    """So many words to a line, with something before and after them."""
    text = ""
    for number in range(words):
        word = WORDS[number % len(WORDS)]
        marked = f"**{word}**" if number % 23 == 11 else word
        text += (before if number % each == 0 else "") + marked + (after if number % each == each - 1 else " ")
    return text


SHAPES: Mapping[str, Callable[[int], str]] = {
    "paragraphs": lambda words: _lines(words, 60, "", "\n\n"),
    "one paragraph": lambda words: _lines(words, words, "", ""),
    "code": lambda words: "```\n" + _lines(words, 8, "", "\n"),
    "list": lambda words: _lines(words, 12, "- ", "\n"),
    "table": lambda words: _lines(words, 6, "| ", " |\n"),
}
"""The text of an answer by its shape, for a number of words."""


def _model(name: str, text: str, rate: float, tokens: int) -> str:
    # A mark that stands alone is a token, too: every shape is cut after as many of them.
    quoted = msgspec.json.encode(text).decode()
    return f'\n[[models]]\nname = "{name}"\nprovider = "replay"\ntext = {quoted}\nrate = {rate}\ntokens = {tokens}\n'


@contextmanager
def _chromium() -> Generator[Browser]:
    """Raises `TidegateError` where there is no Chromium, or no Playwright to drive it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise TidegateError("the browser is driven by Playwright: pip install playwright") from None
    chromium = shutil.which("chromium")
    if chromium is None:
        raise TidegateError("the page is measured in Chromium: there is no `chromium` on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


def _one(browser: Browser, url: str, model: str, seconds: float) -> dict[str, float]:
    """Seconds of CPU from the question to the end of the answer."""
    from playwright.sync_api import expect

    context = browser.new_context(viewport={"width": 1000, "height": 700})
    tab = context.new_page()
    tab.goto(url)
    tab.get_by_label("Model").select_option(model)
    session: Any = context.new_cdp_session(tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.get_by_label("Your message").fill("Go on")
    before = _durations(session)
    tab.get_by_label("Your message").press("Enter")
    # Nothing asks the page anything while it is measured.
    tab.wait_for_timeout(seconds * 1000)
    expect(tab.locator(".status")).to_contain_text("tokens", timeout=PATIENCE_SECONDS * 1000)
    after = _durations(session)
    context.close()
    return {column: after[column] - before[column] for column in DURATIONS}


def _durations(session: Any) -> dict[str, float]:
    found = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return {column: found[name] for column, name in DURATIONS.items()}
