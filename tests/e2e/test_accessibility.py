"""No page has a fault that keeps somebody out: axe-core looks at each in a real browser, light, dark and on a phone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lobby_kit import expect_whole, opened, say
from page_kit import Site, answer, ask, expect_end, reader
from playwright.sync_api import Browser, Page, expect

AXE = Path(sys.prefix) / "node" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """
async (rules) => {
  const found = await axe.run({ preload: false, ...(rules && { runOnly: rules }) });
  return found.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html, any }) => `${id}: ${html} ${any[0]?.message ?? ''}`));
}
"""
EVERYTHING = """
# Heading

Some *text* with `code`, a [link](https://example.com) and ~~nothing~~.

| port | tide |
|---|---:|
| Brest | 6.9 m |

> quoted

- [x] done
- open

```python
def tide(port: str) -> float:  # in metres
    return 6.9 if port == "Brest" else 0
```
"""
PHONE = {"width": 390, "height": 844}
OF_THE_LAYOUT = ["target-size", "color-contrast", "scrollable-region-focusable", "aria-hidden-focus"]


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    with reader(browser, complaints) as page:
        yield page


def faults(page: Page) -> list[str]:
    """What axe-core finds serious or critical: on a wide page, of its colours in the dark, of its layout on a phone."""
    page.evaluate(AXE.read_text("utf-8"))
    # What is still fading in has not its colours yet.
    page.emulate_media(reduced_motion="reduce")
    wide = page.evaluate(RUN)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(RUN, ["color-contrast"])
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="light")
    return [*wide, *dark, *page.evaluate(RUN, OF_THE_LAYOUT)]


def test_the_chat_page(page: Page, here: Site) -> None:
    """With an answer of every kind, its reasoning unfolded, a tool call, the list, and what just happened."""
    told = here.told()
    page.goto(here.url)
    assert faults(page) == []
    page.set_viewport_size({"width": 1280, "height": 800})
    ask(page, told.question, model="told")
    told.end(("thought", "Rivers."), ("call", 0, "c1", "tide", "{}"), EVERYTHING)
    expect_end(page)
    page.get_by_role("button", name="What just happened").click()
    page.locator("details.thoughts summary").click()
    assert faults(page) == []


def test_the_shared_page(page: Page, here: Site) -> None:
    """With an answer of every kind."""
    told = here.told()
    stream = here.post("v1/streams", {"model": "told", "prompt": told.question, "background": True})["id"]
    told.end(("thought", "Rivers."), EVERYTHING)
    page.goto(f"{here.url}/s/{here.post(f'v1/streams/{stream}/share', {})['token']}")
    expect(answer(page)).to_contain_text("Brest")
    assert faults(page) == []


def test_a_room(here: Site, browser: Browser, complaints: list[str]) -> None:
    """With two who talk, an answer, and the dialogue that leads to other rooms."""
    with opened(here.url, browser, complaints) as room:
        ada = room.enter("Ada")
        say(ada, "hello")
        say(ada, "@fast go on")
        expect_whole(ada)
        ada.get_by_role("button", name="Rooms").click()
        assert faults(ada) == []
        ada.get_by_role("button", name="Close").click()
        ada.set_viewport_size({"width": 1280, "height": 800})
        assert faults(ada) == []


def test_the_reference(page: Page, here: Site) -> None:
    """With a call, the errors and an event table unfolded."""
    page.goto(f"{here.url}/docs#call-createStream")
    expect(page.locator("#call-createStream")).to_contain_text("Idempotency-Key")
    page.goto(f"{here.url}/docs#error-503")
    page.goto(f"{here.url}/docs#type-StreamEvents")
    # All are made alike, and axe-core takes its time.
    page.evaluate("for (const call of document.querySelectorAll('.call:nth-of-type(n+2):not([open])')) call.remove()")
    assert faults(page) == []


def test_without_scripts_a_page_says_what_is_true(here: Site, browser: Browser) -> None:
    """It says what is missing, in both languages, and shows nothing that does not work."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        for path in ("", "room/lobby", "docs", "s/share_0"):
            page.goto(f"{here.url}/{path}")
            expect(page.locator(".noscript")).to_contain_text(["JavaScript", "JavaScript"])
            assert page.locator("button:visible, input:visible, textarea:visible, header:visible").count() == 0


def test_where_colours_are_the_readers_own_shapes_remain(page: Page, here: Site) -> None:
    """In forced colours a question, the wave and the button that stops are still to be seen as what they are."""
    told = here.told()
    page.emulate_media(forced_colors="active")
    page.goto(here.url)
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    borders = "nodes => nodes.map((node) => getComputedStyle(node).borderTopStyle)"
    assert page.locator(".question, #stop").evaluate_all(borders) == ["solid", "solid"]
    expect(page.locator(".wave")).to_be_visible()
    told.end("two")
    expect_end(page)
