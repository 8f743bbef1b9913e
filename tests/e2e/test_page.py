"""The chat page in a real browser, against a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser_kit import refused, visitor
from cable import Cable, laid
from held_kit import HELD_MODEL, hold
from playwright.sync_api import Browser, Locator, Page, Route, expect

WORDS = " ".join(f"w{number}" for number in range(1, 101))
REPLAY = f"""
[[models]]
name = "replay"
provider = "replay"
text = "{WORDS}"
tokens = 100
rate = 30
"""
SLOW = REPLAY.replace("rate = 30", "rate = 5")
KEY = """
[[auth.keys]]
name = "me"
sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
scopes = ["generate", "read", "cancel"]
"""

STORED = "JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie])"


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    with visitor(browser, complaints, permissions=("clipboard-read", "clipboard-write")) as page:
        yield page


@pytest.fixture
def cable() -> Iterator[Callable[[str], Cable]]:
    """Lays cables to the URLs of servers."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(laid(url))


def ask(page: Page, question: str = "Go on") -> None:
    # What is typed while a dialog is open goes to the dialog.
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_label("Your message").fill(question)
    page.get_by_label("Your message").press("Enter")


def answer(page: Page) -> Locator:
    return page.locator(".answer").last


def status(page: Page) -> Locator:
    return page.locator(".status").last


def expect_end(page: Page) -> None:
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=20_000)


def last_turn(page: Page) -> dict[str, Any]:
    """The last turn as the page keeps it."""
    return json.loads(page.evaluate("sessionStorage.getItem(`tidegate:${new URL('.', location).pathname}:turns`)"))[-1]


def expect_whole(page: Page, url: str) -> None:
    """The page shows, and keeps, exactly the text that the server has."""
    expect_end(page)
    turn = last_turn(page)
    snapshot = httpx.get(f"{url}/v1/streams/{turn['id']}").json()
    assert turn["status"] == snapshot["status"] == "completed"
    assert turn["text"] == snapshot["text"]
    assert answer(page).text_content() == snapshot["text"] == WORDS


def test_an_answer_is_streamed(page: Page, server: Callable[[str], str], tmp_path: Path) -> None:
    """It grows on the page, and ends with what it took."""
    go_on = hold(tmp_path, WORDS)
    url = server(HELD_MODEL)
    page.goto(url)
    ask(page)
    expect(answer(page)).to_have_text(re.compile("w10 $"))
    go_on()
    expect_whole(page, url)
    expect(status(page)).to_have_text(re.compile(r"^100 tokens · \d+\.\d s$"))


def test_a_refresh_in_mid_answer_loses_nothing(page: Page, server: Callable[[str], str]) -> None:
    """The page goes on at its cursor, and at the end has exactly what the server has."""
    url = server(REPLAY)
    page.goto(url)
    ask(page)
    for word in ("w10 ", "w40 "):
        expect(answer(page)).to_contain_text(word)
        page.reload()
        expect(answer(page)).to_contain_text(word, timeout=1000)
    expect_whole(page, url)


def test_a_refresh_before_the_server_has_answered_finds_the_stream(
    page: Page, server: Callable[[str], str], tmp_path: Path
) -> None:
    """The Idempotency-Key leads to the stream whose id the page never got: it is not generated twice."""
    go_on = hold(tmp_path, WORDS)
    url = server(HELD_MODEL)
    page.goto(url)
    ask(page)
    expect(answer(page)).to_contain_text("w10 ")
    page.evaluate(
        """addEventListener('pagehide', () => {
            const name = `tidegate:${new URL('.', location).pathname}:turns`;
            const turns = JSON.parse(sessionStorage.getItem(name));
            sessionStorage.setItem(name, JSON.stringify([{ ...turns[0], id: '', text: '', cursor: '' }]));
        })"""
    )
    page.reload()
    go_on()
    expect_whole(page, url)
    assert len(httpx.get(f"{url}/v1/streams").json()["data"]) == 1


def test_a_cursor_that_is_gone_is_replaced_by_the_whole(
    page: Page, server: Callable[[str], str], tmp_path: Path
) -> None:
    """After a gap the page shows the server's text, and nothing of what it had twice."""
    go_on = hold(tmp_path, WORDS)
    url = server(HELD_MODEL)
    page.goto(url)
    ask(page)
    expect(answer(page)).to_contain_text("w10 ")
    page.evaluate(
        """addEventListener('pagehide', () => {
            const name = `tidegate:${new URL('.', location).pathname}:turns`;
            const turns = JSON.parse(sessionStorage.getItem(name));
            sessionStorage.setItem(name, JSON.stringify([{ ...turns[0], text: 'wrong', cursor: 'elsewhere-7' }]));
        })"""
    )
    page.reload()
    go_on()
    expect_whole(page, url)


def test_stop_cancels_the_answer(page: Page, server: Callable[[str], str]) -> None:
    """It ends on the server too, and what had come stays."""
    url = server(SLOW)
    page.goto(url)
    ask(page)
    expect(answer(page)).to_contain_text("w5")
    page.get_by_role("button", name="Stop").click()
    expect(status(page)).to_contain_text("Stopped")
    turn = last_turn(page)
    snapshot = httpx.get(f"{url}/v1/streams/{turn['id']}").json()
    assert snapshot["status"] == turn["status"] == "cancelled"
    assert answer(page).text_content() == snapshot["text"]


def test_a_broken_connection_is_shown_and_mended(
    page: Page, server: Callable[[str], str], cable: Callable[[str], Cable], tmp_path: Path
) -> None:
    """The page says that it reconnects, does so by itself, and has every word once."""
    go_on = hold(tmp_path, WORDS)
    url = server(HELD_MODEL)
    wire = cable(url)
    page.goto(wire.url)
    ask(page)
    expect(answer(page)).to_contain_text("w10 ")
    wire.cut()
    expect(status(page)).to_have_text("Reconnecting")
    wire.mend()
    expect(status(page)).to_have_text("Answering")
    go_on()
    expect_whole(page, url)


def test_it_goes_on_at_once_when_the_network_is_back(
    page: Page, server: Callable[[str], str], cable: Callable[[str], Cable], tmp_path: Path
) -> None:
    """The browser's `online` event ends the waiting."""
    go_on = hold(tmp_path, WORDS)
    url = server(HELD_MODEL)
    wire = cable(url)
    page.goto(wire.url)
    page.clock.install()
    ask(page)
    expect(answer(page)).to_contain_text("w10 ")
    page.context.set_offline(True)
    wire.cut()
    wire.mend()
    expect(status(page)).to_have_text("Reconnecting")
    page.clock.run_for(7000)
    expect(status(page)).to_have_text("Reconnecting")
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    page.context.set_offline(False)
    expect(status(page)).to_have_text("Answering")
    page.clock.resume()
    go_on()
    expect_whole(page, url)


def test_after_five_failures_it_is_offline_until_asked(
    page: Page, server: Callable[[str], str], cable: Callable[[str], Cable], tmp_path: Path
) -> None:
    """It says so, keeps what has come, and tries again at a click."""
    go_on = hold(tmp_path, WORDS)
    url = server(HELD_MODEL)
    wire = cable(url)
    page.goto(wire.url)
    page.clock.install()
    ask(page)
    expect(answer(page)).to_contain_text("w10 ")
    wire.cut()
    expect(status(page)).to_have_text("Reconnecting")
    again = page.get_by_role("button", name="Try again")
    for delay in (1.5, 3, 6, 12):
        with page.expect_event("requestfailed"):
            page.clock.run_for(delay * 1000 + 100)
    expect(page.locator("#notice")).to_contain_text("The server cannot be reached.")
    expect(status(page)).to_have_text("Waiting for the connection")
    expect(answer(page)).to_contain_text("w10 ")
    go_on()
    wire.mend()
    again.click()
    expect(page.locator("#notice")).to_be_hidden()
    expect_whole(page, url)


def test_a_restarted_server_that_forgot_the_stream_is_said(
    page: Page, server: Callable[[str], str], cable: Callable[[str], Cable], complaints: list[str]
) -> None:
    """What had come stays, and the question can be asked again."""
    complaints.append(refused(404, "Not Found"))
    wire = cable(server(SLOW))
    page.goto(wire.url)
    ask(page)
    expect(answer(page)).to_contain_text("w5")
    wire.cut()
    url = wire.target = server(REPLAY)
    wire.mend()
    expect(status(page)).to_contain_text("The server no longer knows this answer.")
    expect(answer(page)).to_contain_text("w5")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".turn")).to_have_count(1)
    expect_whole(page, url)


def test_a_failing_model_says_why(page: Page, server: Callable[[str], str], tmp_path: Path) -> None:
    """The server's message stands under what had come, beside a way to ask again."""
    (tmp_path / "moody.py").write_text(
        "async def answer(request):\n    yield 'half an '\n    raise RuntimeError('on purpose')\n"
    )
    url = server('[[models]]\nname = "moody"\nprovider = "python"\ntarget = "moody:answer"\n')
    page.goto(url)
    ask(page)
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    snapshot = httpx.get(f"{url}/v1/streams/{last_turn(page)['id']}").json()
    expect(status(page)).to_contain_text(f"Failed: {snapshot['error']['message']}")
    expect(answer(page)).to_have_text("half an ")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".turn")).to_have_count(1)
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    assert last_turn(page)["id"] != snapshot["id"]


def sign_in(page: Page, key: str = "foo") -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Continue").click()


def test_a_key_is_asked_for_and_kept_from_scripts(
    page: Page, server: Callable[[str], str], complaints: list[str]
) -> None:
    """A wrong key is said to be one; the right one is the browser's, and in reach of nothing on the page."""
    complaints.append(refused(401, "Unauthorized"))
    url = server(REPLAY + KEY)
    page.goto(url)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    sign_in(page, "wrong")
    expect(dialog.get_by_role("alert")).to_have_text("The server did not accept this key.")
    sign_in(page)
    expect(dialog).to_be_hidden()
    with page.expect_request("**/v1/streams") as sent:
        ask(page)
    assert "authorization" not in sent.value.headers
    expect(answer(page)).to_contain_text("w10 ")
    page.reload()
    expect(answer(page)).to_contain_text("w100")
    assert "foo" not in page.evaluate(STORED)
    (cookie,) = page.context.cookies()
    assert (cookie["value"], cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == ("foo", True, "Strict", -1)


def test_a_key_that_is_wanted_in_mid_answer_interrupts_nothing(
    page: Page, server: Callable[[str], str], complaints: list[str], tmp_path: Path
) -> None:
    """Once it is there, the models are listed and the answer goes on where it was."""
    complaints.append(refused(401, "Unauthorized"))
    go_on = hold(tmp_path, WORDS)
    page.goto(server(HELD_MODEL + KEY))
    sign_in(page)
    ask(page)
    expect(answer(page)).to_have_text(re.compile("w10 $"))
    page.context.clear_cookies()
    page.reload()
    expect(status(page)).to_have_text("Waiting for the API key")
    sign_in(page)
    expect(page.locator("#only-model")).to_have_text("held")
    go_on()
    expect_end(page)
    assert answer(page).text_content() == WORDS


def test_a_refusal_that_comes_after_the_key_asks_for_no_other(
    page: Page, server: Callable[[str], str], complaints: list[str], tmp_path: Path
) -> None:
    """What was asked for without the key is asked for again with it, and the answer goes on where it was."""
    complaints.append(refused(401, "Unauthorized"))
    go_on = hold(tmp_path, WORDS)
    page.goto(server(HELD_MODEL + KEY))
    sign_in(page)
    ask(page)
    expect(answer(page)).to_have_text(re.compile("w10 $"))
    page.context.clear_cookies()
    held: list[Route] = []
    page.route("**/events?*", lambda route: held.append(route), times=1)
    page.reload()
    sign_in(page)
    expect(page.get_by_role("dialog")).to_be_hidden()
    held[0].fulfill(status=401)
    go_on()
    expect(answer(page)).to_have_text(WORDS)
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_signing_out_leaves_nothing(page: Page, server: Callable[[str], str], complaints: list[str]) -> None:
    """Cookie and conversation go, in every tab, and the key is asked for again."""
    complaints.append(refused(401, "Unauthorized"))
    url = server(SLOW + KEY)
    page.goto(url)
    sign_in(page)
    ask(page)
    expect(answer(page)).to_contain_text("w5")
    stream = last_turn(page)["id"]
    other = page.context.new_page()
    other.goto(url)
    ask(other)
    expect(answer(other)).to_contain_text("w5")
    other.get_by_role("button", name="Sign out").click()
    for tab in (other, page):
        expect(tab.get_by_role("dialog")).to_be_visible()
        expect(tab.locator(".turn")).to_have_count(0)
        assert "w1" not in tab.evaluate(STORED)
    assert page.context.cookies() == []
    page.reload()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("button", name="Sign out", include_hidden=True)).to_be_hidden()
    bearer = {"authorization": "Bearer foo"}
    assert httpx.get(f"{url}/v1/streams/{stream}", headers=bearer).json()["id"] == stream
    newest = httpx.get(f"{url}/v1/streams", headers=bearer).json()["data"][0]
    assert newest["status"] == "cancelled"


def test_where_no_key_is_needed_nothing_is_said_of_keys(page: Page, server: Callable[[str], str]) -> None:
    """No dialog, and nothing to sign out of."""
    page.goto(server(REPLAY))
    expect(page.locator("#only-model")).to_have_text("replay")
    expect(page.get_by_role("dialog", include_hidden=True)).to_be_hidden()
    expect(page.get_by_role("button", name="Sign out", include_hidden=True)).to_be_hidden()


def test_an_answer_is_shared_by_a_link(page: Page, server: Callable[[str], str]) -> None:
    """The keyboard is enough to make it, have it copied and take it back; the focus comes back to where it was."""
    page.goto(server(SLOW))
    ask(page)
    share = page.get_by_role("button", name="Share", exact=True)
    share.focus()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="/s/share_")
    expect(link).to_be_visible()
    url = link.get_attribute("href")
    assert url == link.text_content() == page.evaluate("navigator.clipboard.readText()")
    expect(page.locator("#announcer")).to_contain_text("It has been copied.")
    assert httpx.get(url).status_code == 200
    page.get_by_role("button", name="Stop sharing").press("Enter")
    expect(link).to_be_hidden()
    expect(share).to_be_focused()
    expect(page.locator("#announcer")).to_contain_text("It is no longer shared.")
    assert httpx.get(url).status_code == 404
    assert url.rpartition("/")[2] not in page.evaluate(STORED)


def test_a_link_that_cannot_be_copied_is_shown(browser: Browser, server: Callable[[str], str]) -> None:
    """Without a clipboard there is still the link, and nobody is told that it was copied."""
    with visitor(browser, ()) as page:
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        page.goto(server(SLOW))
        ask(page)
        page.get_by_role("button", name="Share", exact=True).click()
        expect(page.get_by_role("link", name="/s/share_")).to_be_visible()
        expect(page.locator("#link-text")).not_to_contain_text("copied")
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#link-box")).to_be_hidden()


def test_a_refusal_says_why_and_is_tried_again(page: Page, server: Callable[[str], str], complaints: list[str]) -> None:
    """The page shows the server's words and when it tries again, and then does so by itself."""
    complaints.append(refused(429, "Too Many Requests"))
    url = server(REPLAY + "\n[limits]\nconcurrent_generations = 1\n")
    first = httpx.post(f"{url}/v1/streams", json={"model": "replay", "prompt": "x", "background": True}).json()["id"]
    page.goto(url)
    ask(page)
    expect(status(page)).to_have_text(re.compile(r"which is the limit\. Trying again in \d+ s$"))
    httpx.post(f"{url}/v1/streams/{first}/cancel")
    expect_whole(page, url)


def test_a_page_that_comes_too_soon_gets_its_models_later(
    page: Page, server: Callable[[str], str], complaints: list[str]
) -> None:
    """It says what the server says, and asks again when it may."""
    complaints.append(refused(429, "Too Many Requests"))
    url = server(REPLAY + "\n[limits]\nrequests_per_minute = 30\nburst = 1\n")
    httpx.get(f"{url}/v1/models")
    page.goto(url)
    expect(page.locator("#notice")).to_contain_text("You may make 30 requests a minute")
    expect(page.locator("#only-model")).to_have_text("replay")
    expect(page.locator("#notice")).to_be_hidden()


def test_the_model_is_chosen_where_there_are_several(page: Page, server: Callable[[str], str]) -> None:
    """The picker names them all, and the choice outlives a refresh."""
    page.goto(server(REPLAY + REPLAY.replace('"replay"', '"other"', 1)))
    page.get_by_label("Model").select_option("other")
    page.reload()
    expect(page.get_by_label("Model")).to_have_value("other")
    ask(page)
    expect(answer(page)).to_contain_text("w10 ")
    assert last_turn(page)["model"] == "other"


def test_a_conversation_goes_on_and_begins_anew(page: Page, server: Callable[[str], str]) -> None:
    """Earlier turns are sent along; Shift+Enter makes a line; a new conversation forgets them."""
    page.goto(server(REPLAY.replace("rate = 30", "rate = 0")))
    prompt = page.get_by_label("Your message")
    ask(page, "first")
    expect(prompt).to_have_value("")
    expect_end(page)
    prompt.fill("one")
    prompt.press("Shift+Enter")
    prompt.press_sequentially("two")
    with page.expect_request("**/v1/streams") as sent:
        prompt.press("Enter")
    messages = sent.value.post_data_json["messages"]
    assert messages == [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": WORDS},
        {"role": "user", "content": "one\ntwo"},
    ]
    expect_end(page)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(prompt).to_be_focused()
    page.reload()
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()


def test_an_answer_brings_no_markup_of_its_own(page: Page, server: Callable[[str], str], tmp_path: Path) -> None:
    """Markdown becomes elements; HTML stays text."""
    text = '**bold** and `code` <img src="x" onerror="alert(1)">\n\n1. one\n   - inner\n2. two\n\n```\n<b>x</b>\n```\n'
    (tmp_path / "author.py").write_text(f"async def answer(request):\n    yield {text!r}\n")
    page.goto(server('[[models]]\nname = "author"\nprovider = "python"\ntarget = "author:answer"\n'))
    ask(page, "<b>me</b>")
    expect_end(page)
    expect(answer(page).locator("p")).to_have_text('bold and code <img src="x" onerror="alert(1)">')
    expect(answer(page).locator("strong")).to_have_text("bold")
    expect(answer(page).locator("ol > li")).to_have_count(2)
    expect(answer(page).locator("ol > li ul > li")).to_have_text("inner")
    expect(answer(page).locator("pre")).to_have_text("<b>x</b>")
    assert answer(page).locator("img, b").count() == 0
    expect(page.locator(".question")).to_have_text("You: <b>me</b>")


def test_the_page_follows_its_reader_not_the_other_way_round(page: Page, server: Callable[[str], str]) -> None:
    """At the end of the page it follows the answer; who has scrolled up stays there."""
    text = r"\n\n".join(f"w{number}" for number in range(1, 101))
    page.goto(server(REPLAY.replace(WORDS, text)))
    below = "document.documentElement.scrollHeight - innerHeight - scrollY"
    ask(page)
    expect(answer(page)).to_contain_text("w30")
    assert page.evaluate(below) < 100
    page.mouse.move(400, 300)
    page.mouse.wheel(0, -400)
    latest = page.get_by_role("button", name="Latest")
    expect(latest).to_be_visible()
    stayed = page.evaluate("scrollY")
    expect(answer(page)).to_contain_text("w60")
    assert page.evaluate("scrollY") == stayed
    latest.click()
    expect(latest).to_be_hidden()
    assert page.evaluate(below) < 100


def test_a_selection_stays_while_the_answer_grows(page: Page, server: Callable[[str], str]) -> None:
    """Also in the paragraph that is still being written: who copies a sentence is not disturbed."""
    page.goto(server(REPLAY))
    ask(page)
    expect(answer(page)).to_contain_text("w10 ")
    page.evaluate(
        """() => {
            const text = document.querySelector('.answer p').firstChild;
            getSelection().setBaseAndExtent(text, text.data.indexOf('w5'), text, text.data.indexOf('w8'));
        }"""
    )
    expect(answer(page)).to_contain_text("w60 ")
    assert page.evaluate("getSelection().toString()") == "w5 w6 w7 "


def test_code_stays_where_its_reader_has_scrolled_it(page: Page, server: Callable[[str], str]) -> None:
    """While lines are added to it."""
    code = r"```\n" + "x" * 200 + r"\n" + r"\n".join(f"w{number}" for number in range(1, 100)) + r"\n```"
    page.goto(server(REPLAY.replace(WORDS, code)))
    ask(page)
    expect(answer(page)).to_contain_text("w10")
    page.evaluate("document.querySelector('pre').scrollLeft = 120")
    expect(answer(page)).to_contain_text("w60")
    assert page.evaluate("document.querySelector('pre').scrollLeft") == 120


def test_a_screen_reader_hears_paragraphs_and_the_end(page: Page, server: Callable[[str], str]) -> None:
    """Not every token: each paragraph once, when it is whole."""
    page.goto(server(REPLAY.replace(WORDS, r"a b c\n\nd e f").replace("tokens = 100", "tokens = 6")))
    page.clock.install()
    ask(page)
    expect_end(page)
    heard = page.locator("#announcer p").all_text_contents()
    # On a busy machine both may be whole in the same frame.
    assert "\n".join(heard).split("\n") == ["a b c", "d e f"]


def test_it_fits_a_phone(page: Page, server: Callable[[str], str]) -> None:
    """Nothing hangs over at 375 pixels, not even a long line of code."""
    page.set_viewport_size({"width": 375, "height": 700})
    code = r"```\n" + "x" * 200 + r"\n```"
    page.goto(server(REPLAY.replace(WORDS, "y" * 200 + r"\n\n" + code)))
    ask(page, "z" * 200)
    expect_end(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_it_works_under_a_prefix(page: Page, server: Callable[[str], str], tmp_path: Path) -> None:
    """Every address on the pages is relative, so the application may be mounted anywhere."""
    page.route(re.compile("/llm/"), lambda route: route.continue_(url=route.request.url.replace("/llm/", "/")))
    url = server(REPLAY)
    page.goto(url + "/llm/")
    ask(page)
    expect_whole(page, url)
    page.goto(url + "/llm/docs")
    expect(page.get_by_role("heading", name="POST /v1/streams", exact=True)).to_be_visible()
