"""A room where everybody has a key of their own: what is shared, and what is not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from browser_kit import refused
from lobby_kit import Room, expect_said, expect_whole, opened, presence, say
from page_kit import Site, answer, site
from playwright.sync_api import Browser, WebSocketRoute, expect

KEYS = """
[[auth.keys]]
name = "ada"
sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
scopes = ["generate", "read", "cancel", "publish", "subscribe"]

[[auth.keys]]
name = "ben"
sha256 = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"
scopes = ["subscribe", "publish"]
"""
AS_ADA = {"authorization": "Bearer foo"}
AS_BEN = {"authorization": "Bearer bar"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site"), KEYS) as found:
        yield found


@pytest.fixture
def room(here: Site, browser: Browser, complaints: list[str]) -> Iterator[Room]:
    complaints += [refused(401, "Unauthorized"), refused(403, "Forbidden")]
    with opened(here.url, browser, complaints) as room:
        yield room


def test_people_read_each_others_answers(room: Room, here: Site) -> None:
    """A stream is its owner's: who asked shares it with the room, and nothing else of theirs."""
    told = here.told()
    ada, ben = room.enter("Ada", key="foo"), room.enter("Ben", key="bar")
    expect(presence(ada)).to_have_text("2 here: Ada, Ben")
    say(ben, "hello")
    expect_said(ada, "hello")
    expect(ben.get_by_role("button", name="Ask")).to_have_count(0)
    say(ada, f"@told {told.question}")
    told.say("One ")
    expect(answer(ben)).to_have_text("One")
    told.end("two")
    for page in (ada, ben):
        expect_whole(page, "One two")
    assert ada.locator(".said .byline").first.get_attribute("title") == "key:ben"
    ben.get_by_role("button", name="Sign out").click()
    expect(ben.get_by_role("dialog")).to_be_visible()
    expect(ben.locator("#log li")).to_have_count(0)
    expect(presence(ada)).to_have_text("1 here: Ada", timeout=20_000)


def test_a_refusal_that_comes_after_the_key_asks_for_no_other(room: Room) -> None:
    """A socket that was opened before the key was given is opened again with it, and nobody is asked twice."""
    ada = room.enter("Ada", key="foo")
    sockets: list[WebSocketRoute] = []

    def hold_the_first(near: WebSocketRoute) -> None:
        if sockets:
            near.connect_to_server()
        sockets.append(near)

    ada.route_web_socket(re.compile("/v1/ws"), hold_the_first)
    ada.context.clear_cookies()
    ada.reload()
    ada.get_by_label("API key", exact=True).fill("foo")
    ada.get_by_role("button", name="Continue").click()
    expect(ada.get_by_role("dialog")).to_be_hidden()
    sockets[0].close(code=4401, reason="no credentials")
    expect(presence(ada)).to_have_text("1 here: Ada")
    expect(ada.get_by_role("dialog")).to_be_hidden()
    expect(ada.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_message_lends_nobody_the_credentials_of_a_page(room: Room, here: Site) -> None:
    """A stream that a message names is not read as the page's user, nor told to the room, whatever it copies."""
    private = httpx.post(
        f"{here.url}/v1/streams", json={"model": "fast", "prompt": "x"}, headers=AS_ADA, timeout=20
    ).json()
    ada = room.enter("Ada", key="foo")
    say(ada, "mine")
    expect_said(ada, "mine")
    member = room.published(**AS_BEN)[0]["member"]
    for token in ("", "foo", " ", f"share_{'0' * 64}"):
        forged = {"kind": "answer", "stream": private["id"], "model": "fast", "token": token}
        room.publish({**forged, "member": member, "name": "Ada"}, **AS_BEN)
    expect(ada.locator(".answered .status")).to_contain_text(["not shared"] * 3 + ["no longer knows"])
    room.publish({"kind": "answered", "stream": private["id"], "turn": {"status": "live"}}, **AS_BEN)
    say(ada, "after all")
    expect_said(ada, "mine", "after all")
    assert ada.get_by_role("button", name="Stop").count() == 0
    assert ada.locator(".answer", has_text="w1").count() == 0
    assert not [each for each in room.published(**AS_BEN) if each["kind"] == "answered" and "member" in each]


def test_who_copies_a_member_is_not_that_member(room: Room) -> None:
    """Another one's words stand under a line of their own, and another one's goodbye sends nobody away."""
    ada, ben = room.enter("Ada", key="foo"), room.enter("Ben", key="bar")
    say(ada, "mine")
    expect_said(ben, "mine")
    (own,) = [each for each in room.published(**AS_BEN) if each["kind"] == "text"]
    room.publish({**own, "text": "forged"}, **AS_BEN)
    room.publish({"kind": "bye", "member": own["member"], "name": "Ada"}, **AS_BEN)
    for page in (ada, ben):
        expect_said(page, "mine", "forged")
        assert page.locator("#log .byline").evaluate_all("lines => lines.map((line) => line.title)") == [
            "key:ada",
            "key:ben",
        ]
        assert page.locator("#log .own").count() == (1 if page is ada else 0)
    say(ben, "still here")
    expect_said(ada, "mine", "forged", "still here")
    expect(presence(ben)).to_have_text("2 here: Ada, Ben")


def test_many_shared_answers_leave_connections_for_calls(room: Room, here: Site) -> None:
    """A browser makes six to a host: the newest answers have some, the others go on when those have ended."""
    all_told = [here.told() for _ in range(7)]
    for told in all_told:
        body = {"model": "told", "prompt": told.question, "background": True}
        stream = httpx.post(f"{here.url}/v1/streams", json=body, headers=AS_ADA).raise_for_status().json()["id"]
        shared = httpx.post(f"{here.url}/v1/streams/{stream}/share", json={}, headers=AS_ADA).raise_for_status()
        answered = {"kind": "answer", "stream": stream, "model": "told", "token": shared.json()["token"]}
        room.publish({**answered, "name": "Ada"}, **AS_ADA)
    asked: list[str] = []
    ben = room.enter("Ben", key="bar", ready=lambda page: page.on("request", lambda request: asked.append(request.url)))
    for told in all_told:
        told.say("One ")
    expect(ben.locator(".answer")).to_have_text(["", "", "", *["One"] * 4])
    say(ben, "hello")
    expect_said(ben, "hello")
    assert len([url for url in asked if "/events" in url]) == 4
    for told in all_told:
        told.end("two")
    expect(ben.locator(".answer")).to_have_text(["One two"] * 7)
