"""The chat page where a key is needed, and the links that it gives to others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from browser_kit import refused
from page_kit import Site, Told, answer, ask, expect_end, last_turn, reader, said, site
from playwright.sync_api import Browser, Page, Route, expect

KEY = """
[[auth.keys]]
name = "me"
sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
scopes = ["generate", "read", "cancel", "publish", "subscribe"]
[[auth.keys]]
name = "another"
sha256 = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"
scopes = ["generate", "read", "cancel"]
"""
BEARER = {"authorization": "Bearer foo"}
STORED = "JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie])"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site"), KEY) as found:
        yield found


@pytest.fixture
def page(here: Site, browser: Browser, complaints: list[str]) -> Iterator[Page]:
    complaints.append(refused(401, "Unauthorized"))
    with reader(browser, complaints) as page:
        page.goto(here.url)
        yield page


def sign_in(page: Page, key: str = "foo") -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Continue").click()


def snapshot(here: Site, stream: str) -> dict[str, Any]:
    return httpx.get(f"{here.url}/v1/streams/{stream}", headers=BEARER).json()


def half_answered(page: Page, here: Site) -> Told:
    """What answers somebody who has signed in and asked: its first word is there."""
    told = here.told()
    sign_in(page)
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    return told


def test_a_key_is_asked_for_and_kept_from_scripts(page: Page, here: Site) -> None:
    """A wrong key is said to be one; the right one is the browser's, and in reach of nothing on the page."""
    told = here.told()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    sign_in(page, "wrong")
    expect(dialog.get_by_role("alert")).to_have_text("The server did not accept the key.")
    sign_in(page)
    expect(dialog).to_be_hidden()
    with page.expect_request("**/v1/streams") as sent:
        ask(page, told.question, model="told")
    assert "authorization" not in sent.value.headers
    told.say("One ")
    expect(answer(page)).to_have_text("One")
    page.reload()
    told.end("two")
    expect(answer(page)).to_have_text("One two")
    assert "foo" not in page.evaluate(STORED)
    (cookie,) = page.context.cookies()
    assert (cookie["value"], cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == ("foo", True, "Strict", -1)


def test_a_key_that_is_wanted_in_mid_answer_interrupts_nothing(page: Page, here: Site) -> None:
    """Once it is there, the models are listed and the answer goes on where it was."""
    told = half_answered(page, here)
    page.context.clear_cookies()
    page.reload()
    expect(said(page)).to_have_text("Waiting for the API key")
    sign_in(page)
    expect(page.get_by_label("Model")).to_have_value("told")
    told.end("two")
    expect_end(page)
    expect(answer(page)).to_have_text("One two")


def test_a_refusal_that_comes_after_the_key_asks_for_no_other(page: Page, here: Site) -> None:
    """What was asked for without the key is asked for again with it, and the answer goes on where it was."""
    told = half_answered(page, here)
    page.context.clear_cookies()
    held: list[Route] = []
    page.route("**/events?*", lambda route: held.append(route), times=1)
    with page.expect_request("**/events?*"):
        page.reload()
    sign_in(page)
    expect(page.get_by_role("dialog")).to_be_hidden()
    held[0].fulfill(status=401)
    told.end("two")
    expect(answer(page)).to_have_text("One two")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_signing_out_leaves_nothing(page: Page, here: Site) -> None:
    """Cookie, conversations and drafts go, in every tab, what is being written is stopped, and the key is asked for."""
    told = here.told()
    sign_in(page)
    ask(page, told.question, model="told")
    told.say("secret")
    expect(answer(page)).to_have_text("secret")
    stream = last_turn(page)["id"]
    other = page.context.new_page()
    other.goto(here.url)
    other.get_by_label("Your message").fill("secret, too")
    other.get_by_role("button", name="Sign out").click()
    for tab in (other, page):
        expect(tab.get_by_role("dialog")).to_be_visible()
        expect(tab.locator(".turn")).to_have_count(0)
        assert "secret" not in tab.evaluate(STORED)
    assert page.context.cookies() == []
    page.reload()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("button", name="Sign out", include_hidden=True)).to_be_hidden()
    assert snapshot(here, stream)["status"] == "cancelled"


def test_signing_out_in_a_room_leaves_nothing(page: Page, here: Site) -> None:
    """Not of the chat either, though no tab of it is open; the language is the browser's, and stays."""
    sign_in(page)
    ask(page, "secret", model="fast")
    expect_end(page)
    page.evaluate("localStorage.setItem('tidegate:language', 'en')")
    page.goto(f"{here.url}/room/lobby")
    page.get_by_label("Your name").fill("secret")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Sign out").click()
    # The page that is there again knows no name.
    expect(page.get_by_label("Your name", exact=True)).to_have_value("")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert "secret" not in page.evaluate(STORED)
    assert page.evaluate("Object.keys({ ...localStorage })") == ["tidegate:language"]
    assert page.context.cookies() == []


def test_another_key_does_not_open_what_was_asked_with_the_first(page: Page, here: Site) -> None:
    """Its bearer is told that it goes, which another try confirms; until then its owner can sign out, or go on."""
    sign_in(page)
    ask(page, "secret", model="fast")
    expect_end(page)
    page.context.clear_cookies()
    page.goto(here.url)
    dialog = page.get_by_role("dialog")
    expect(page.get_by_role("button", name="Sign out", include_hidden=True)).to_be_visible()
    sign_in(page, "bar")
    expect(dialog.get_by_role("alert")).to_contain_text("asked with another key")
    assert page.context.cookies() == []
    assert "secret" in page.evaluate(STORED)
    dialog.get_by_role("button", name="Continue").click()
    expect(page.locator("#conversations a")).to_have_count(0)
    expect(page.get_by_label("Model")).to_have_value("told")
    expect(dialog).to_be_hidden()
    assert "secret" not in page.evaluate(STORED)


def test_a_key_that_is_given_in_one_tab_is_given_in_all(page: Page, here: Site) -> None:
    """What the other tab waited for goes on."""
    other = page.context.new_page()
    other.goto(here.url)
    expect(other.get_by_role("dialog")).to_be_visible()
    sign_in(page)
    expect(other.get_by_role("dialog")).to_be_hidden()
    expect(other.get_by_label("Model")).to_have_value("told")


def test_who_signs_out_need_not_wait_for_what_is_stopped(page: Page, here: Site) -> None:
    """The cookie is taken back though the server does not answer what asks it to stop an answer."""
    told = half_answered(page, here)
    page.route("**/cancel", lambda route: None)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.context.cookies() == []
    told.end()


def test_an_answer_is_shared_by_a_link(page: Page, here: Site) -> None:
    """The keyboard is enough to make it, have it copied and take it back; the focus comes back to where it was."""
    told = here.told()
    sign_in(page)
    ask(page, told.question, model="told")
    told.say("One ")
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
    told.end()


def test_where_no_key_is_needed_nothing_is_said_of_keys(
    browser: Browser, complaints: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No dialog, and nothing to sign out of. A link that cannot be copied is shown all the same."""
    with site(tmp_path_factory.mktemp("open")) as here, reader(browser, complaints, permissions=[]) as page:
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        page.add_init_script("document.execCommand = () => false")
        page.goto(here.url)
        expect(page.get_by_label("Model")).to_have_value("told")
        expect(page.get_by_role("dialog", include_hidden=True)).to_have_count(3)
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_role("button", name="Sign out", include_hidden=True)).to_be_hidden()
        ask(page, model="fast")
        expect_end(page)
        page.get_by_role("button", name="Share", exact=True).click()
        expect(page.get_by_role("link", name="/s/share_")).to_be_visible()
        expect(page.locator("#link-text")).not_to_contain_text("copied")
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#link-box")).to_be_hidden()
