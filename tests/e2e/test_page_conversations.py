"""The conversations that a browser keeps, in all of its tabs, with the versions of their answers and what is typed."""

from __future__ import annotations

import re

import pytest
from page_kit import KEPT_WHOLE, WORDS, Site, answer, ask, expect_end, expect_whole, kept, last_turn, reader, said
from playwright.sync_api import Browser, Locator, Page, Route, expect


def conversations(page: Page) -> Locator:
    return page.locator("#conversations a")


def test_a_new_conversation_destroys_nothing(page: Page, here: Site) -> None:
    """The one before stays in the list, its answer is written on, and it is found there whole."""
    told = here.told()
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_label("Your message")).to_be_focused()
    ask(page, "Another", model="fast")
    expect_end(page)
    expect(conversations(page)).to_have_text([re.compile("^Another"), re.compile("^Tell me")])
    told.end("two")
    conversations(page).nth(1).click()
    expect(answer(page)).to_have_text("One two")
    page.go_back()
    expect(answer(page)).to_have_text(WORDS)
    page.reload()
    expect(answer(page)).to_have_text(WORDS)


def test_earlier_turns_are_sent_along(page: Page) -> None:
    """A conversation goes on; Shift+Enter makes a line."""
    ask(page, "first", model="fast")
    expect_end(page)
    prompt = page.get_by_label("Your message")
    prompt.fill("one")
    prompt.press("Shift+Enter")
    prompt.press_sequentially("two")
    with page.expect_request("**/v1/streams") as sent:
        prompt.press("Enter")
    assert sent.value.post_data_json["messages"] == [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": WORDS},
        {"role": "user", "content": "one\ntwo"},
    ]


def test_who_types_before_the_scripts_are_there_loses_nothing(here: Site, page: Page) -> None:
    """On a slow line the field is there first."""
    held: list[Route] = []
    page.route("**/web/chat.js", lambda route: held.append(route))
    page.goto(here.url, wait_until="commit")
    field = page.get_by_label("Your message")
    field.fill("typed early")
    while not held:
        page.wait_for_timeout(10)
    held[0].continue_()
    expect(page.get_by_label("Model")).to_have_value("told")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    expect(field).to_have_value("typed early")


def test_a_draft_is_kept_with_its_conversation(page: Page, here: Site) -> None:
    """Over a refresh and a closed tab; each conversation has its own."""
    prompt = page.get_by_label("Your message")
    ask(page, "first", model="fast")
    expect_end(page)
    prompt.fill("half a thought")
    page.reload()
    expect(prompt).to_have_value("half a thought")
    page.get_by_role("button", name="New conversation").click()
    expect(prompt).to_have_value("")
    prompt.fill("another")
    page.close(run_before_unload=True)
    other = page.context.new_page()
    other.goto(here.url)
    prompt = other.get_by_label("Your message")
    expect(prompt).to_have_value("another")
    conversations(other).first.click()
    expect(prompt).to_have_value("half a thought")


def test_an_answer_is_live_in_two_tabs_and_stopped_from_the_second(page: Page, here: Site) -> None:
    """A conversation that is open in two tabs is one: the answer comes in both, and its end."""
    told = here.told()
    other = page.context.new_page()
    other.goto(here.url)
    ask(page, told.question, model="told")
    told.say("One ")
    conversations(other).first.click()
    for tab in (page, other):
        expect(answer(tab)).to_have_text("One")
    told.say("two")
    for tab in (page, other):
        expect(answer(tab)).to_have_text("One two")
    other.get_by_role("button", name="Stop").click()
    for tab in (page, other):
        expect(said(tab)).to_have_text("Stopped")
        expect_end(tab)
    told = here.told()
    ask(page, told.question, model="told")
    told.say("Three")
    expect(answer(other)).to_have_text("Three")
    told.end()
    for tab in (page, other):
        expect_whole(tab, here.url, "Three")
    assert len({turn["id"] for turn in kept(page)}) == 2


def test_a_question_that_waits_is_asked_where_it_was_typed(page: Page) -> None:
    """Who reads another conversation meanwhile goes on reading, and finds it in its own."""
    ask(page, "first", model="fast")
    expect_end(page)
    page.get_by_role("button", name="New conversation").click()
    held: list[Route] = []
    page.route("**/v1/models", lambda route: held.append(route))
    page.reload()
    page.get_by_label("Your message").fill("second")
    with page.expect_request("**/v1/models"):
        page.get_by_label("Your message").press("Enter")
    conversations(page).click()
    address = page.url
    for route in held:
        route.continue_()
    expect(conversations(page)).to_have_text([re.compile("^second"), re.compile("^first")])
    expect(page.locator(".question")).to_have_text(["You: first"])
    assert page.url == address
    conversations(page).first.click()
    expect(page.locator(".question")).to_have_text(["You: second"])
    expect(answer(page)).to_have_text(WORDS)
    expect(page.get_by_label("Your message")).to_have_value("")


def test_what_is_typed_in_one_tab_is_nothing_to_the_other(page: Page, here: Site) -> None:
    """It outlives what the other tab asks, and a conversation that the other tab deletes."""
    other = page.context.new_page()
    other.goto(here.url)
    typed = other.get_by_label("Your message")
    typed.fill("half a thought")
    ask(page, "first", model="fast")
    expect_end(page)
    other.reload()
    expect(typed).to_have_value("half a thought")
    conversations(other).first.click()
    typed.fill("another")
    page.get_by_role("button", name="Delete first").click()
    expect(conversations(other)).to_have_count(0)
    expect(typed).to_have_value("another")
    other.reload()
    expect(typed).to_have_value("another")


def test_two_tabs_ask_at_once_and_no_question_is_lost(page: Page) -> None:
    """One is asked; the other is still typed, or asked after it."""
    ask(page, "first", model="fast")
    expect_end(page)
    other = page.context.new_page()
    other.goto(page.url)
    expect(answer(other)).to_have_text(WORDS)
    texts = ("from one", "from two")
    soon = page.evaluate("Date.now() + 300")
    for tab, text in zip((page, other), texts, strict=True):
        tab.get_by_label("Your message").fill(text)
        tab.evaluate("(at) => { setTimeout(() => document.querySelector('#send').click(), at - Date.now()) }", soon)
    for tab in (page, other):
        expect(tab.locator(".turn")).not_to_have_count(1)
        expect_end(tab)
    asked = [turn["question"] for turn in kept(page)]
    typed = [tab.get_by_label("Your message").input_value() for tab in (page, other)]
    assert sorted(filter(None, [*asked, *typed])) == sorted(["first", *texts])
    for tab in (page, other):
        expect(tab.locator(".turn")).to_have_count(len(asked))


def test_a_conversation_is_deleted_and_brought_back(page: Page, here: Site) -> None:
    """Nothing is kept of it, in any tab, until it is undone."""
    ask(page, "first", model="fast")
    expect_end(page)
    other = page.context.new_page()
    other.goto(page.url)
    expect(answer(other)).to_have_text(WORDS)
    page.get_by_role("button", name="Delete first").click()
    for tab in (page, other):
        expect(tab.locator(".turn")).to_have_count(0)
        expect(conversations(tab)).to_have_count(0)
    assert kept(page) == []
    page.get_by_role("button", name="Undo").click()
    expect(answer(page)).to_have_text(WORDS)
    expect(conversations(other)).to_have_count(1)


def test_a_conversation_is_renamed(page: Page, here: Site) -> None:
    """By keyboard, in all tabs; its name stays when its question is put in other words, and while an answer comes."""
    told = here.told()
    ask(page, told.question, model="told")
    other = page.context.new_page()
    other.goto(page.url)
    rename = page.get_by_role("button", name=f"Rename {told.question}")
    rename.press("Enter")
    name = page.get_by_label("Its name")
    expect(name).to_have_value(told.question)
    name.press("Escape")
    expect(name).to_be_hidden()
    expect(said(page)).not_to_have_text("Stopped")
    expect(conversations(page)).to_be_focused()
    rename.press("Enter")
    # What comes meanwhile has the list shown anew.
    told.end("One")
    expect_end(page)
    name.fill("  The sea ")
    name.press("Enter")
    expect(conversations(page)).to_be_focused()
    for tab in (page, other):
        expect(conversations(tab)).to_have_text(re.compile("^The sea"))
        expect(tab).to_have_title("The sea · tidegate")
    page.get_by_role("button", name="Edit the question").click()
    page.get_by_label("Your question").fill("second")
    page.get_by_label("Your question").press("Enter")
    expect(page.locator(".question")).to_have_text(["You: second"])
    page.get_by_role("button", name="Stop").click()
    expect_end(page)
    page.reload()
    expect(conversations(page)).to_have_text(re.compile("^The sea"))


def test_an_answer_is_asked_for_again_and_the_former_stays(page: Page, here: Site) -> None:
    """Each version of the last answer is a step away; the one that is shown is what the conversation goes on with."""
    told = here.told()
    ask(page, told.question, model="told")
    told.end("One")
    expect_end(page)
    told.again()
    page.get_by_role("button", name="Ask again").click()
    told.end("Two")
    expect_whole(page, here.url, "Two")
    expect(page.locator(".versions")).to_have_text("2/2")
    page.get_by_role("button", name="The version before").click()
    expect(answer(page)).to_have_text("One")
    page.reload()
    expect(answer(page)).to_have_text("One")
    with page.expect_request("**/v1/streams") as sent:
        ask(page, "and then?", model="fast")
    assert sent.value.post_data_json["messages"][1]["content"] == "One"


def test_the_last_question_is_put_in_other_words(page: Page) -> None:
    """In its place: Esc leaves it as it was, Enter asks anew, and what is asked again is what stands there."""
    ask(page, "first", model="fast")
    expect_end(page)
    edit = page.get_by_role("button", name="Edit the question")
    edit.click()
    field = page.get_by_label("Your question")
    expect(field).to_be_focused()
    field.press("Escape")
    expect(edit).to_be_focused()
    edit.press("Enter")
    field.fill("second")
    with page.expect_request("**/v1/streams") as sent:
        field.press("Enter")
    assert sent.value.post_data_json["messages"] == [{"role": "user", "content": "second"}]
    expect_end(page)
    expect(page.locator(".question")).to_have_text(["You: second"])
    with page.expect_request("**/v1/streams") as sent:
        page.get_by_role("button", name="Ask again").click()
    assert sent.value.post_data_json["messages"] == [{"role": "user", "content": "second"}]
    expect_end(page)
    page.get_by_role("button", name="The version before").click()
    expect(page.locator(".question")).to_have_text(["You: second"])
    page.get_by_role("button", name="The version before").click()
    expect(page.locator(".question")).to_have_text(["You: first"])


def test_a_question_that_is_no_longer_the_last_is_not_edited(page: Page) -> None:
    """Who asks another one meanwhile has left it as it was: no other question gets its words."""
    ask(page, "first", model="fast")
    expect_end(page)
    page.get_by_role("button", name="Edit the question").click()
    page.get_by_label("Your question").fill("first, in other words")
    ask(page, "second", model="fast")
    expect(page.locator(".question")).to_have_text(["You: first", "You: second"])
    expect(page.get_by_label("Your question")).to_be_hidden()
    expect_end(page)


def test_an_answer_that_was_cut_goes_on(page: Page, here: Site) -> None:
    """The model is given what it had said, and what it says now stands behind it, as one answer."""
    told = here.told()
    ask(page, told.question, model="told")
    told.end("One ", reason="length")
    expect(said(page)).to_have_text("Cut at the length limit")
    told.again()
    with page.expect_request("**/v1/streams") as sent:
        page.get_by_role("button", name="Continue").click()
    assert sent.value.post_data_json["messages"][1:] == [{"role": "assistant", "content": "One "}]
    told.say("two ")
    expect(answer(page)).to_have_text("One two")
    page.reload()
    told.end("three")
    expect_end(page)
    expect(answer(page)).to_have_text("One two three")
    page.wait_for_function(KEPT_WHOLE, arg="One two three")
    assert [turn["text"] for turn in kept(page)] == ["One two three"]
    assert here.snapshot(last_turn(page)["id"])["text"] == "two three"
    expect(page.locator(".figures")).to_have_text(re.compile(r"^told · 200 tokens · [\d.]+ s"))


def test_of_an_answer_that_was_continued_no_half_is_shared(page: Page, here: Site) -> None:
    """A link leads to one stream, and would show its end only: that is said, and it can be copied whole."""
    told = here.told()
    ask(page, told.question, model="told")
    told.end("One ", reason="length")
    told.again()
    page.get_by_role("button", name="Continue").click()
    told.end("two")
    expect(answer(page)).to_have_text("One two")
    page.get_by_role("button", name="Share").click()
    expect(page.locator("#notice-text")).to_contain_text("came in parts")
    page.locator("#notice").get_by_role("button", name="Copy").press("Enter")
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.get_by_label("Your message")).to_be_focused()
    assert page.evaluate("navigator.clipboard.readText()") == "One two"
    assert here.snapshot(last_turn(page)["id"])["text"] == "two"


@pytest.mark.parametrize("path", ["", "room/lobby", "docs"])
def test_a_page_works_where_nothing_can_be_kept(here: Site, browser: Browser, complaints: list[str], path: str) -> None:
    """It goes on with what it has in memory."""
    denied = "{ get() { throw new DOMException('denied', 'SecurityError'); } }"
    with reader(browser, complaints) as page:
        for name in ("localStorage", "sessionStorage"):
            page.add_init_script(f"Object.defineProperty(window, '{name}', {denied})")
        page.goto(f"{here.url}/{path}")
        if path == "docs":
            expect(page.locator("details.call").first).to_be_attached()
        elif path:
            page.get_by_label("Your name").fill("Ada")
            page.get_by_role("button", name="Continue").click()
            expect(page.locator("#presence")).to_contain_text("Ada")
        else:
            ask(page, "first", model="fast")
            expect(answer(page)).to_have_text(WORDS)
            expect(conversations(page)).to_have_count(1)
