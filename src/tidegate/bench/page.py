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
    from playwright.sync_api import Browser, Page

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

COLUMNS = {**dict.fromkeys(DURATIONS, 2), "% of a core": 1, "tasks over 50 ms": 0, "longest ms": 0}

LONG_TASKS = """
globalThis.longTasks = [];
new PerformanceObserver((list) => {
  longTasks.push(...list.getEntries().map(({ duration }) => duration));
}).observe({ type: 'longtask' });
"""
"""Tasks that kept the main thread from drawing for over 50 ms, as the browser reports them."""

PATIENCE_SECONDS = 60


def page(bench: Bench) -> Table:
    """An answer on the chat page in Chromium, by the shape of its text: CPU time of the browser's main thread."""
    options = bench.options
    tokens = max(1, int(options.rate * options.seconds))
    table = Table(f"The page: an answer of {tokens:,} words at {options.rate:g} words/s", COLUMNS)
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


def _mixed(words: int) -> str:
    """Sections of everything that models write, of some 250 words each."""
    section = "\n\n".join(
        (
            "## " + _lines(5, 5, "", ""),
            _lines(60, 60, "", "") + "[a chart](https://example.com/chart) and `code`.",
            _lines(40, 8, "- ", "\n"),
            "```python\n" + _lines(48, 6, 'lamp(3, "', '")  # lit\n') + "```",
            "| when | what | how |\n|---|:-:|--:|\n" + _lines(30, 3, "| ", " | 1 | 2 |\n"),
            _lines(30, 30, "> ", ""),
        )
    )
    return "\n\n".join([section] * (words // 200 + 1))


SHAPES: Mapping[str, Callable[[int], str]] = {
    "mixed": _mixed,
    "paragraphs": lambda words: _lines(words, 60, "", "\n\n"),
    "one paragraph": lambda words: _lines(words, words, "", ""),
    "code": lambda words: "```\n" + _lines(words, 8, "", "\n"),
    "list": lambda words: _lines(words, 12, "- ", "\n"),
    "table": lambda words: "| a | b |\n|---|---|\n" + _lines(words, 6, "| ", " | b |\n"),
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
    tab.add_init_script(LONG_TASKS)
    tab.goto(url)
    tab.get_by_label("Model").select_option(model)
    session: Any = context.new_cdp_session(tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.get_by_label("Your message").fill("Go on")
    before = _durations(session)
    tab.evaluate("longTasks.length = 0")
    tab.get_by_label("Your message").press("Enter")
    # Nothing asks the page anything while it is measured.
    tab.wait_for_timeout(seconds * 1000)
    expect(tab.locator(".turn").last).to_contain_text("tokens", timeout=PATIENCE_SECONDS * 1000)
    spent = {column: after - before[column] for column, after in _durations(session).items()}
    found = _long_tasks(tab)
    context.close()
    share = 100 * spent["main thread s"] / seconds
    return {**spent, "% of a core": share, "tasks over 50 ms": len(found), "longest ms": max(found, default=0)}


def _durations(session: Any) -> dict[str, float]:
    found = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return {column: found[name] for column, name in DURATIONS.items()}


def _long_tasks(tab: Page) -> list[float]:
    return tab.evaluate("longTasks")
