"""The chat page in a real browser, against a real server: how an answer is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_kit import (
    WORDS,
    Site,
    answer,
    ask,
    change_kept,
    expect_end,
    expect_whole,
    last_turn,
    reader,
    said,
    site,
    status,
)
from playwright.sync_api import Browser, Page, expect


def test_an_answer_is_streamed(page: Page, here: Site) -> None:
    """It grows on the page, and ends with the model, what it took and how fast it was."""
    told = here.told()
    ask(page, told.question, model="told")
    expect(said(page)).to_have_text("Waiting for the first word")
    told.say(WORDS[:50])
    expect(answer(page)).to_have_text(WORDS[:50])
    expect(said(page)).to_have_text("Writing")
    expect(page).to_have_title(re.compile(r"^● Answering · Tell me"))
    told.end(WORDS[50:])
    expect_whole(page, here.url)
    expect(status(page)).to_have_text(re.compile(r"^told · 100 tokens · \d+\.\d s"))
    expect(page).to_have_title(re.compile(r"^Tell me t\d+ · tidegate$"))


def test_a_refresh_in_mid_answer_loses_nothing(page: Page, here: Site) -> None:
    """The page goes on at its cursor, and at the end has exactly what the server has."""
    told = here.told()
    ask(page, told.question, model="told")
    for before, after in ((0, 60), (60, 150)):
        told.say(WORDS[before:after])
        expect(answer(page)).to_have_text(WORDS[:after].strip())
        page.reload()
        expect(answer(page)).to_have_text(WORDS[:after].strip())
    told.end(WORDS[150:])
    expect_whole(page, here.url)


def test_an_answer_ends_with_its_end(page: Page, here: Site) -> None:
    """Whatever becomes of the question how long it took, which is asked after a refresh."""
    told = here.told()
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    page.reload()
    expect(answer(page)).to_have_text("One")
    page.route(re.compile(r"/v1/streams/[^/?]+$"), lambda route: None)
    told.end("two")
    expect_whole(page, here.url, "One two")


def test_what_a_model_does_is_known_after_a_refresh(page: Page, here: Site) -> None:
    """It thinks, calls or writes, and no first word is waited for that is there."""
    told = here.told()
    ask(page, told.question, model="told")
    for piece, doing in (
        (("thought", "Hm"), "Thinking"),
        (("call", 0, "c", "tide", "{}"), "Calling tide"),
        ("One", "Writing"),
    ):
        told.say(piece)
        expect(said(page)).to_have_text(doing)
        page.reload()
        expect(said(page)).to_have_text(doing)
    told.end()
    expect_end(page)


def test_a_refresh_before_the_server_has_answered_finds_the_stream(page: Page, here: Site) -> None:
    """The Idempotency-Key leads to the stream whose id the page never got: it is not generated twice."""
    told = here.told()
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    stream = last_turn(page)["id"]
    change_kept(page, id="", text="", cursor="")
    page.reload()
    told.end("two")
    expect_whole(page, here.url, "One two")
    assert last_turn(page)["id"] == stream


def test_a_cursor_that_is_gone_is_replaced_by_the_whole(page: Page, here: Site) -> None:
    """After a gap the page shows the server's text, and nothing of what it had twice."""
    told = here.told()
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    change_kept(page, text="wrong", cursor="elsewhere-7")
    page.reload()
    told.end("two")
    expect_whole(page, here.url, "One two")


def test_stop_cancels_the_answer(page: Page, here: Site) -> None:
    """It ends on the server too, and what had come stays. Esc does the same as the button."""
    told = here.told()
    for stop in (lambda: page.get_by_role("button", name="Stop").click(), lambda: page.keyboard.press("Escape")):
        ask(page, told.question, model="told")
        told.say("One two")
        expect(answer(page)).to_have_text("One two")
        stop()
        expect(said(page)).to_have_text("Stopped")
        turn = last_turn(page)
        snapshot = here.snapshot(turn["id"])
        assert snapshot["status"] == turn["status"] == "cancelled"
        assert answer(page).text_content() == snapshot["text"]
        told.again()


def test_esc_stops_a_question_that_waits_for_its_turn(page: Page, here: Site) -> None:
    """Another tab is about to ask in the same conversation: the question is asked after it, and stopped at once."""
    told = here.told()
    ask(page, model="fast")
    expect_whole(page, here.url)
    page.get_by_label("Model").select_option("told")
    page.evaluate(
        """() => new Promise((held) => {
            const name = `tidegate:${location.pathname}:asking:${location.hash.slice(1)}`;
            navigator.locks.request(name, () => new Promise((free) => held((window.free = free))));
        })"""
    )
    field = page.get_by_label("Your message")
    field.fill(told.question)
    field.press("Enter")
    field.press("Escape")
    page.evaluate("window.free()")
    expect(said(page)).to_have_text("Stopped")
    expect(page.locator(".turn")).to_have_count(2)
    assert here.snapshot(last_turn(page)["id"])["status"] == "cancelled"


def test_what_a_model_thinks_and_calls_is_folded(page: Page, here: Site) -> None:
    """Thoughts and tools are a line each, that opens; an answer of tools alone is not said to be empty."""
    told = here.told()
    ask(page, told.question, model="told")
    told.say(("thought", "The moon "), ("thought", "pulls."))
    expect(said(page)).to_have_text("Thinking")
    page.locator(".thoughts summary").click()
    expect(page.locator(".thoughts .words")).to_have_text("The moon pulls.")
    told.say(("call", 0, "c1", "tides", ""), ("call", 0, None, None, '{"at": '), ("call", 0, None, None, '"Dover"}'))
    expect(said(page)).to_have_text("Calling tides")
    expect(page.locator(".thoughts summary")).to_have_text(re.compile(r"^Thought for \d+ s$"))
    expect(page.locator(".call summary")).to_have_text('Called tides {"at": "Dover"}')
    told.end(reason="tool_calls")
    expect_end(page)
    expect(said(page)).to_be_hidden()
    page.reload()
    expect(page.locator(".call summary")).to_have_text('Called tides {"at": "Dover"}')
    expect(page.locator(".turn")).not_to_contain_text("empty")
    expect(page.get_by_role("button", name="Share")).to_be_hidden()


def test_who_waits_is_told_their_place(browser: Browser, complaints: list[str], tmp_path: Path) -> None:
    """Queued is not answering: the page says who is before, and then that the model has begun."""
    more = '[[models]]\nname = "busy"\nprovider = "python"\ntarget = "told:answer"\nmax_concurrency = 1\n'
    with site(tmp_path, more) as here, reader(browser, complaints) as page:
        first, second = here.told(), here.told()
        body = {"model": "busy", "prompt": first.question, "background": True}
        here.post("v1/streams", body)
        page.goto(here.url)
        ask(page, second.question, model="busy")
        expect(said(page)).to_have_text("In the queue: number 1")
        first.end("One")
        expect(said(page)).to_have_text("Waiting for the first word")
        second.end("Two")
        expect_whole(page, here.url, "Two")


def test_a_failing_model_says_why_and_keeps_what_came(page: Page, here: Site) -> None:
    """Words for people, the server's own on demand; the next try does not discard the first."""
    told = here.told()
    ask(page, told.question, model="told")
    told.say("half an", ("fail",))
    expect(said(page)).to_have_text("The answer was cut off: the model failed.")
    failed = last_turn(page)
    page.get_by_text("Details").click()
    expect(page.locator(".technical code")).to_contain_text(here.snapshot(failed["id"])["error"]["message"])
    expect(answer(page)).to_have_text("half an")
    expect(page.get_by_role("button", name="Share")).to_be_hidden()
    told.again()
    page.get_by_role("button", name="Retry").press("Enter")
    expect(page.get_by_label("Your message")).to_be_focused()
    told.end("a whole")
    expect_whole(page, here.url, "a whole")
    expect(page.locator(".turn")).to_have_count(1)
    page.get_by_role("button", name="The version before").click()
    expect(answer(page)).to_have_text("half an")


def test_the_enter_of_an_input_method_sends_nothing(page: Page) -> None:
    """It takes what was composed; in Safari only an old number says so."""
    page.get_by_label("Your message").fill("ni hao")
    for composing in ("{ keyCode: 229 }", "{ isComposing: true }"):
        page.get_by_label("Your message").evaluate(
            f"""field => field.dispatchEvent(
                new KeyboardEvent('keydown', {{ key: 'Enter', bubbles: true, ...{composing} }}))"""
        )
    expect(page.get_by_label("Your message")).to_have_value("ni hao")
    expect(page.locator(".turn")).to_have_count(0)


def test_enter_while_it_answers_says_why_nothing_is_sent(page: Page, here: Site) -> None:
    """What was written stays, and can be sent when the answer has ended."""
    told = here.told()
    ask(page, told.question, model="told")
    page.get_by_label("Your message").fill("next")
    page.get_by_label("Your message").press("Enter")
    expect(page.locator("#hint")).to_contain_text("The answer is still being written.")
    expect(page.locator("#announcer")).to_contain_text("The answer is still being written.")
    told.end("One")
    expect_end(page)
    expect(page.get_by_label("Your message")).to_have_value("next")
    expect(page.locator("#hint")).to_contain_text("begins a new line")


def test_an_answer_is_copied_as_markdown(page: Page, here: Site) -> None:
    """As the model wrote it; that it was is said, and not for ever; and where the browser refuses, that is shown."""
    told = here.told()
    ask(page, told.question, model="told")
    told.end("**bold**\n\n- one")
    expect_end(page)
    copy = page.get_by_role("button", name="Copy")
    copy.click()
    expect(page.locator("#announcer")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "**bold**\n\n- one"
    expect(copy).to_have_attribute("title", "Copied")
    expect(copy).to_have_attribute("title", "Copy")
    page.evaluate("navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false")
    copy.click()
    expect(page.locator("#notice")).to_contain_text("The browser did not let it be copied.")
    page.locator("#notice").get_by_role("button", name="Close").click()
    expect(page.locator("#notice")).to_be_hidden()


def test_the_model_is_chosen_where_there_are_several(page: Page) -> None:
    """The picker names them all, the choice outlives a refresh, and each answer names its own."""
    page.get_by_label("Model").select_option("fast")
    page.reload()
    expect(page.get_by_label("Model")).to_have_value("fast")
    ask(page)
    expect_end(page)
    page.get_by_label("Model").select_option("slow")
    expect(status(page)).to_contain_text("fast · ")
    assert last_turn(page)["model"] == "fast"


def test_the_reader_chooses_how_it_looks_and_what_goes_before(page: Page) -> None:
    """Theme and language hold from then on, the system prompt is sent before each question."""
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Theme").select_option("dark")
    page.get_by_role("button", name="Done").click()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    with page.expect_request("**/v1/streams") as sent:
        ask(page, "Hello", model="fast")
    assert [message["role"] for message in sent.value.post_data_json["messages"]] == ["system", "user"]
    expect_end(page)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_role("button", name="新对话")).to_be_visible()
    assert page.evaluate("document.documentElement.lang + document.documentElement.dataset.theme") == "zh-CNdark"


def test_it_works_over_a_websocket(page: Page, here: Site) -> None:
    """The reader may choose it: an answer comes, and goes on after a refresh, in the same way."""
    told = here.told()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Transport").select_option("websocket")
    page.get_by_role("button", name="Done").click()
    with page.expect_websocket():
        ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    page.reload()
    told.end("two")
    expect_whole(page, here.url, "One two")


def test_an_answer_brings_no_markup_of_its_own(page: Page, here: Site) -> None:
    """Markdown becomes elements; HTML stays text."""
    text = '**bold** and `code` <img src="x" onerror="alert(1)">\n\n1. one\n   - inner\n2. two\n\n```\n<b>x</b>\n```\n'
    told = here.told()
    ask(page, f"<b>me</b> {told.question}", model="told")
    told.end(text)
    expect_end(page)
    expect(answer(page).locator(":scope > p")).to_have_text('bold and code <img src="x" onerror="alert(1)">')
    expect(answer(page).locator("strong")).to_have_text("bold")
    expect(answer(page).locator("ol > li")).to_have_count(2)
    expect(answer(page).locator("ol > li ul > li")).to_have_text("inner")
    expect(answer(page).locator("pre")).to_have_text("<b>x</b>")
    assert answer(page).locator("img, b").count() == 0
    expect(page.locator(".question")).to_have_text(f"You: <b>me</b> {told.question}")


def test_the_page_follows_its_reader_not_the_other_way_round(page: Page, here: Site) -> None:
    """At the end of the page it follows the answer; who has scrolled up stays there."""
    told = here.told()
    lines = [f"w{number}\n\n" for number in range(1, 101)]
    below = "document.documentElement.scrollHeight - innerHeight - scrollY"
    ask(page, told.question, model="told")
    told.say(*lines[:40])
    expect(answer(page)).to_contain_text("w40")
    assert page.evaluate(below) < 100
    page.mouse.move(600, 300)
    page.mouse.wheel(0, -400)
    latest = page.get_by_role("button", name="Latest")
    expect(latest).to_be_visible()
    stayed = page.evaluate("scrollY")
    told.say(*lines[40:])
    expect(answer(page)).to_contain_text("w100")
    assert page.evaluate("scrollY") == stayed
    latest.click()
    expect(latest).to_be_hidden()
    assert page.evaluate(below) < 100
    told.end()


def test_a_screen_reader_hears_paragraphs_and_the_end(page: Page, here: Site) -> None:
    """Not every token: each paragraph once, when it is whole."""
    told = here.told()
    ask(page, told.question, model="told")
    told.say("a b ", "c\n\n", "d ")
    expect(page.locator("#announcer")).to_have_text("a b c")
    told.end("e f")
    expect(page.locator("#announcer")).to_contain_text("d e f")
    heard = page.locator("#announcer p").all_text_contents()
    assert "\n".join(heard).split("\n") == ["a b c", "d e f"]


def test_it_fits_a_phone(browser: Browser, complaints: list[str], here: Site) -> None:
    """Nothing hangs over at 320 pixels, what is touched is large enough, and the panels are a touch away."""
    told = here.told()
    with reader(browser, complaints, viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True) as page:
        page.goto(here.url)
        ask(page, told.question, model="told")
        told.end("y" * 200 + "\n\n```\n" + "x" * 200 + "\n```\n")
        expect_end(page)
        for open_, close in (("Conversations", "Close the list"), ("What just happened", "Close")):
            page.get_by_role("button", name=open_, exact=True).tap()
            expect(page.get_by_role("button", name=close, exact=True)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") == 320
            page.get_by_role("button", name=close, exact=True).tap()
        small = """[...document.querySelectorAll('#column button, #column select, #column summary')].filter((one) =>
            one.checkVisibility() && !one.closest('.code') && one.getBoundingClientRect().height < 38)"""
        assert page.evaluate(f"{small}.map((one) => one.outerHTML)") == []


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_a_tool_call_is_one_line_on_a_phone(browser: Browser, complaints: list[str], here: Site, language: str) -> None:
    """In any language, whatever the tool is called: what does not fit is left out."""
    told = here.told()
    names = ("tide", "a_tool_with_a_very_long_name_that_nobody_would_choose")
    with reader(browser, complaints, viewport={"width": 320, "height": 640}, locale=language) as page:
        page.goto(here.url)
        page.locator("#model").select_option("told")
        page.locator("#prompt").fill(told.question)
        page.locator("#prompt").press("Enter")
        told.say(*(("call", at, f"c{at}", name, '{"port": "Brest"}') for at, name in enumerate(names)))
        expect(page.locator(".call summary")).to_have_count(2)
        heights = page.locator(".call summary").evaluate_all("(all) => all.map((one) => one.offsetHeight)")
        assert max(heights) < 30
        assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_on_paper_there_is_what_was_said_and_nothing_to_press(page: Page, here: Site) -> None:
    """In light colours, whatever the theme; code that is wider than the page is broken."""
    told = here.told()
    page.emulate_media(color_scheme="dark")
    ask(page, told.question, model="told")
    told.end("Read me.\n\n```\n" + "x" * 500)
    expect_end(page)
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("textbox")).to_have_count(0)
    expect(page.get_by_text("Read me.", exact=True)).to_be_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert page.locator("pre").last.evaluate("(pre) => pre.scrollWidth <= pre.clientWidth")


def test_it_works_under_a_prefix(page: Page, here: Site) -> None:
    """Every address on the pages is relative, so the application may be mounted anywhere."""
    page.route(re.compile("/llm/"), lambda route: route.continue_(url=route.request.url.replace("/llm/", "/")))
    page.goto(here.url + "/llm/")
    ask(page, model="fast")
    expect_whole(page, here.url)
    page.goto(here.url + "/llm/docs")
    expect(page.get_by_role("heading", name="POST /v1/streams", exact=True)).to_be_visible()
