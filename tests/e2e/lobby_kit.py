"""A room as those who are in it use it, each with a browser of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import httpx
from page_kit import WORDS, reader
from playwright.sync_api import Browser, Locator, Page, expect

_numbers = count(1)


def out_of_reach(url: str) -> str:
    """What the console says of a WebSocket that cannot be opened there; the reason follows."""
    return f"WebSocket connection to '{url.replace('http', 'ws')}/v1/ws' failed: "


class Room:
    """A room that nobody else has ever been in, of the server at `url`."""

    def __init__(self, url: str, browser: Browser, complaints: list[str], stack: ExitStack) -> None:
        self.url = url
        self.name = f"room-{next(_numbers)}"
        self._browser = browser
        self._complaints = complaints
        self._stack = stack

    def enter(
        self, name: str, *, key: str = "", url: str = "", ready: Callable[[Page], object] = bool, **context: Any
    ) -> Page:
        """The page of somebody new, who has come in; by another way to the same server, if there is a `url`.

        `ready` has the page before it is loaded.
        """
        page = self._stack.enter_context(reader(self._browser, self._complaints, **context))
        ready(page)
        page.goto(f"{url or self.url}/room/{self.name}")
        page.get_by_label("Your name").fill(name)
        page.get_by_role("button", name="Continue").click()
        if key:
            page.get_by_label("API key", exact=True).fill(key)
            page.get_by_role("button", name="Continue").click()
        expect(page.locator("#presence")).to_contain_text("here")
        return page

    def publish(self, data: object, **headers: str) -> None:
        messages = f"{self.url}/v1/topics/{self.name}/messages"
        httpx.post(messages, json={"data": data}, headers=headers).raise_for_status()

    def published(self, **headers: str) -> list[dict[str, Any]]:
        """What the topic holds, by whoever may read it and publish a number, which is nothing to a page."""
        found: list[dict[str, Any]] = []
        self.publish(last := next(_numbers), **headers)
        events = f"{self.url}/v1/topics/{self.name}/events?after=earliest"
        with httpx.stream("GET", events, headers=headers) as answer:
            for line in answer.iter_lines():
                said = json.loads(line[6:]).get("data") if line.startswith("data: ") else None
                if isinstance(said, dict):
                    found.append(said)
                if said == last:
                    break
        return found


@contextmanager
def opened(url: str, browser: Browser, complaints: list[str]) -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(url, browser, complaints, stack)


def say(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_label("Your message").press("Enter")


def said(page: Page) -> list[str]:
    """Every message on the page, in its order."""
    return page.locator("#log .speech").all_text_contents()


def presence(page: Page) -> Locator:
    return page.locator("#presence")


def expect_said(page: Page, *texts: str) -> None:
    # Who was away for long tries again after some seconds.
    expect(page.locator("#log .speech")).to_have_text(list(texts), timeout=20_000)


def expect_whole(page: Page, text: str = WORDS) -> None:
    """The last answer is on the page, as the model has given it."""
    expect(page.locator(".status").last).to_contain_text("tokens", timeout=20_000)
    expect(page.locator(".answer").last).to_have_text(text)
