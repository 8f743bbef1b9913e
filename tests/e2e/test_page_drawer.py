"""The drawer *What just happened*: what the stream of an answer went through, as anybody can see."""

from __future__ import annotations

import re

import pytest
from page_kit import Site, answer, ask, expect_end, expect_whole, last_turn, said
from playwright.sync_api import Page, expect


def expect_facts(page: Page, **facts: str) -> None:
    for label, value in facts.items():
        fact = page.locator("#facts > div", has=page.get_by_text(label.replace("_", " "), exact=True))
        expect(fact.locator("dd")).to_have_text(value)


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_a_connection_that_is_cut_is_seen_to_come_back(page: Page, here: Site, transport: str) -> None:
    """Every event is counted once, and at the end the words are compared with the server's."""
    told = here.told()
    page.evaluate(f"localStorage.setItem('tidegate:/:transport', '{transport}')")
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    page.get_by_role("button", name="What just happened").click()
    expect_facts(page, Events_received="2", Reconnects="0", Duplicates="0", Gaps="0", Readers="1")
    page.get_by_role("button", name="Cut the connection").click()
    lines = page.locator("#lines .line")
    expect(lines.nth(3)).to_have_text(re.compile(r"^Cut by you, after \w+-2$"))
    told.say("two ", "three ")
    expect(answer(page)).to_have_text("One two three")
    told.end("four")
    expect_whole(page, here.url, "One two three four")
    expect_facts(page, Events_received="6", Reconnects="1", Duplicates="0", Gaps="0")
    expect(lines.nth(5)).to_have_text(re.compile(r"^Resumed after \w+-2(: \d+ characters had come meanwhile)?$"))
    expect(page.locator("#verdict")).to_have_text(re.compile("word for word what the server has"))


def test_what_is_stopped_while_its_connection_is_cut_ends_as_on_the_server(page: Page, here: Site) -> None:
    """The server is asked all the same, and what it wrote after the cut comes with its end."""
    told = here.told()
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url) if "/cancel" in request.url else None)
    page.route("**/events*", lambda route: route.continue_() if asked else route.abort())
    page.get_by_role("button", name="What just happened").click()
    page.get_by_role("button", name="Cut the connection").click()
    expect(page).to_have_title(re.compile("^◌ Reconnecting"))
    stream = last_turn(page)["id"]
    told.say("two ")
    here.wait_for("One two ", stream)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#verdict")).to_have_text(
        "The connection broke, and yet this is word for word what the server has."
    )
    expect(answer(page)).to_have_text("One two")
    expect(said(page)).to_have_text("Stopped")
    expect(page.locator(".status .figures").last).to_have_text(re.compile(r"^told · (about )?\d+ tokens? · "))
    lines = page.locator("#lines .line")
    expect(lines.filter(has_text="Resumed after")).to_have_count(1)
    expect(lines.last).to_have_text("Stopped")


def test_the_drawer_and_the_line_below_an_answer_tell_one_rate(page: Page) -> None:
    """Also where the server has estimated the tokens."""
    ask(page, model="slow")
    expect(answer(page)).to_contain_text("w8")
    page.get_by_role("button", name="What just happened").click()
    page.get_by_role("button", name="Stop").click()
    figures = page.locator(".status .figures").last
    expect(figures).to_have_text(re.compile(r" tokens/s$"))
    rate = (figures.text_content() or "").removesuffix(" tokens/s").split(" · ")[-1]
    expect_facts(page, **{"Tokens/s": rate})


def test_who_reads_along_is_counted(page: Page, here: Site) -> None:
    """A second tab is a second reader."""
    told = here.told()
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    page.get_by_role("button", name="What just happened").click()
    expect_facts(page, Readers="1")
    other = page.context.new_page()
    other.goto(page.url)
    expect(answer(other)).to_have_text("One")
    expect_facts(page, Readers="2")
    told.end()
    expect_end(page)


def test_the_drawer_is_opened_and_left_by_keyboard(page: Page) -> None:
    """The focus goes in, and comes back to where it was; Esc stops nothing on its way out."""
    opener = page.get_by_role("button", name="What just happened")
    ask(page, model="slow")
    expect(said(page)).to_have_text("Writing")
    opener.press("Enter")
    expect(page.locator("#drawer")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    expect(opener).to_be_focused()
    expect(said(page)).to_have_text("Writing")
