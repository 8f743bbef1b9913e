"""Fixtures of the end-to-end tests: real servers, and a real browser."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tidegate.testing.process import running

if TYPE_CHECKING:
    from page_kit import Site
    from playwright.sync_api import Browser, Page


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts servers: `server(config_text)` is the URL of one, without a slash at its end.

    A `python` provider finds its module in the test's `tmp_path`. What the servers wrote to stderr is shown with
    a test that fails.
    """
    with ExitStack() as stack:

        def start(config: str) -> str:
            path = tmp_path / "tidegate.toml"
            path.write_text(config)
            process = stack.enter_context(running("--config", str(path), cwd=tmp_path))
            stack.callback(lambda: sys.stderr.write(process.stderr()))
            assert process.ready, process.stderr()
            return process.url

        yield start


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Playwright takes its time, and most tests have no page.
    from browser_kit import launched

    with launched() as chromium:
        yield chromium


@pytest.fixture
def complaints() -> list[str]:
    """What the consoles of pages may hold at the end of the test, besides connections that failed."""
    return []


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with the models of `page_kit`, open to everybody."""
    from page_kit import site

    with site(tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture
def page(here: Site, browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """The chat page of that server, as somebody new opens it."""
    from page_kit import reader

    with reader(browser, complaints) as page:
        page.goto(here.url)
        yield page
