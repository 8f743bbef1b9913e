"""The API reference in a real browser: what somebody finds who wants to call the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from browser_kit import visitor
from playwright.sync_api import Browser, Locator, Page, expect

from tidegate.testing.process import running

CONFIG = '[store]\nurl = "memory://"\n[[models]]\nname = "replay"\nprovider = "replay"\ntext = "Salt."\nrate = 0\n'


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path: Path = tmp_path_factory.mktemp("docs")
    (path / "tidegate.toml").write_text(CONFIG)
    with running("--config", str(path / "tidegate.toml"), cwd=path) as process:
        assert process.ready, process.stderr()
        yield process.url


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with visitor(browser, (), permissions=("clipboard-read", "clipboard-write")) as page:
        page.goto(f"{url}/docs")
        expect(page.locator("#call-createStream")).to_be_visible()
        yield page


def shown(page: Page) -> Locator:
    return page.locator("#reference .call:visible")


def test_every_call_is_there_and_folded(page: Page, url: str) -> None:
    """Each operation of the description has its line, on a page that is read at a glance."""
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    assert page.locator("[id^='call-']").count() == sum(len(methods) for methods in paths.values())
    assert page.locator("details.call[open]").count() == 0
    assert page.evaluate("document.documentElement.scrollHeight") < 6000


def test_a_call_says_what_it_takes_and_shows_an_example(page: Page, url: str) -> None:
    """Unfolded from the contents: parameters, bounds, a line for curl to be copied, and what a stream looks like."""
    page.locator("nav a", has_text=re.compile("POST /v1/streams$")).click()
    create = page.locator("#call-createStream")
    expect(create.get_by_role("heading", name="POST /v1/streams")).to_be_in_viewport()
    expect(create).to_contain_text("Idempotency-Key")
    expect(create).to_contain_text("number or null; ≥ 0, ≤ 2")
    expect(create).to_contain_text('event: delta\ndata: {"text":"It is"}')
    create.get_by_role("button", name="Copy").first.click()
    expect(create.get_by_text("Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f'curl -N "{url}/v1/streams"')
    assert '"model":"smollm2"' in copied


def test_an_error_is_explained_once(page: Page) -> None:
    """A call names the statuses, and each leads to what it means and to its codes."""
    page.locator("#call-getStream summary").click()
    page.locator("#call-getStream").get_by_role("link", name="404").click()
    expect(page.locator("#error-404")).to_be_in_viewport()
    expect(page.locator("#error-404")).to_contain_text("stream_not_found")
    assert page.get_by_text("The body is too large.").count() == 1


def test_any_word_finds_its_calls(page: Page) -> None:
    """A path, a field, a call of the WebSocket or a code: what does not have it is put away."""
    page.keyboard.press("/")
    page.keyboard.type("presence")
    expect(shown(page).locator(".path")).to_have_text(["/v1/topics/{name}/presence", "/v1/ws", "TopicEvents"])
    expect(page.locator("#found")).to_have_text("3 found")
    page.get_by_role("searchbox").fill("queue_full")
    expect(page.locator(".error:visible h3")).to_have_text("503")
    page.get_by_role("searchbox").fill("xyzzy")
    expect(page.locator("#found")).to_have_text("Nothing has these words.")


def test_an_address_unfolds_what_it_points_to(page: Page, url: str) -> None:
    """A link to a type leads to it, though its group is folded."""
    page.goto(f"{url}/docs#type-TopicEvents")
    page.reload()
    expect(page.locator("#type-TopicEvents h4", has_text="Events")).to_be_in_viewport()
    expect(page.locator("#type-TopicEvents")).to_contain_text('{"data":{"text":"Good morning"},"from":"key:ada"')


def test_its_reader_finds_it_in_chinese(browser: Browser, url: str) -> None:
    """The page is in the browser's language from its first picture on, and what the description says stays English."""
    with browser.new_context(locale="zh-CN") as context:
        page = context.new_page()
        page.goto(f"{url}/docs")
        expect(page.get_by_role("heading", name="API 参考")).to_be_visible()
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        assert page.locator("#call-createStream .about").get_attribute("lang") == "en"


def test_an_address_that_points_nowhere_is_no_fault(page: Page, url: str) -> None:
    """Not even one that nobody can have meant."""
    page.goto(f"{url}/docs#100%")
    page.reload()
    expect(page.locator("#call-createStream")).to_be_visible()
    expect(page.locator("#problem")).to_be_hidden()
