"""The chat page below a prefix of nginx, as it is shipped, in a real browser over TLS and HTTP/2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_kit import PATIENCE_MS
from front_kit import nginx
from pair_kit import KEY, Told, pair
from playwright.sync_api import Browser, Page, expect
from port_kit import free_port

MANY = 8
"""More than the six connections that browsers have to one host over HTTP/1.1."""

FOLLOW = """
async ([stream, many]) => {
  const opened = Array.from({length: many}, () => new EventSource(`v1/streams/${stream}/events`));
  await Promise.all(opened.map((each) => new Promise((done) => each.addEventListener('started', done))));
  return opened.map((each) => each.close()).length;
}
"""

PROTOCOLS = "() => performance.getEntriesByType('resource').map((each) => each.nextHopProtocol)"


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    port = free_port()
    with (
        pair(tmp_path, f"http://127.0.0.1:{port}/llm") as nodes,
        nginx(tmp_path, nodes.addresses, port) as front,
        browser.new_context(base_url=f"{front.tls_url}/llm/", ignore_https_errors=True) as context,
    ):
        context.set_default_timeout(PATIENCE_MS)
        yield context.new_page()


def test_the_page_works_below_a_prefix(page: Page, tmp_path: Path) -> None:
    """Signing in, asking, loading it anew in mid-answer, following by many streams at once: all below the prefix."""
    (tmp_path / "told").mkdir()
    model = Told(tmp_path / "told")
    page.goto("/llm")
    page.get_by_role("textbox", name="API key").fill(KEY)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_label("Your message").fill(model.prompt)
    page.get_by_role("button", name="Send").click()
    answer = page.locator(".answer")
    model.say("One ")
    expect(answer).to_have_text("One")
    model.say("two ")
    expect(answer).to_have_text("One two")
    page.reload()
    expect(answer).to_have_text("One two")
    (stream,) = page.evaluate("async () => (await (await fetch('v1/streams')).json()).data.map((each) => each.id)")
    assert page.evaluate(FOLLOW, [stream, MANY]) == MANY
    assert set(page.evaluate(PROTOCOLS)) == {"h2"}
    model.say("three.")
    model.say("")
    expect(answer).to_have_text("One two three.")
    expect(page.locator(".status")).to_contain_text("tokens")
